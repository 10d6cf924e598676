"""What a phase works with: the journal, the lock, the jobs, and waiting. Each phase takes of it what it needs.

Deliberately not here: deciding anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.deployment.jobs import Jobs
    from workflows.deployment.journal import Journal
    from workflows.deployment.live.opening import Opening
    from workflows.deployment.lock import Lock
    from workflows.deployment.progress import Interrupted, Renew
    from workflows.deployment.state import State
    from workflows.job.recorded import now_ms


@dataclass(frozen=True, slots=True)
class Context:
    """One deployment's. ``calls`` are those of the control plane's activities."""

    journal: Journal
    calls: Calls
    lock: Lock
    jobs: Jobs
    opening: Opening

    @staticmethod
    def of(state: State, *, resumed: bool) -> "Context":
        """A run's. ``resumed``: the run before has written the record."""
        calls = Calls()
        journal = Journal(state, calls, written=state.deployment if resumed else None)
        return Context(journal, calls, Lock(journal, calls), Jobs(journal, calls), Opening())

    @property
    def state(self) -> State:
        """As it is now: read it again after every ``await``."""
        return self.journal.state

    async def wait(self, condition: Callable[[], bool], *, until: int | None = None, summary: str = "") -> bool:
        """True when the condition holds, False when the time (ms) is up. Raises Interrupted, Renew."""
        timeout = None if until is None else timedelta(milliseconds=max(until - now_ms(), 0))
        try:
            await workflow.wait_condition(
                lambda: condition() or self.state.interrupt is not None or _history_is_long(),
                timeout=timeout,
                timeout_summary=summary or None,
            )
        except TimeoutError:
            return False
        if self.state.interrupt is not None:
            raise Interrupted
        if condition():
            return True
        raise Renew

    async def wait_for_ever(self) -> None:
        """Until something interrupts. Raises Interrupted, Renew."""
        await self.wait(lambda: False)


def _history_is_long() -> bool:
    return workflow.info().is_continue_as_new_suggested()
