"""What a deployment says to the lock of its environment: join the line, leave it, became live, hands over.

Deliberately not here: whose turn it is (``workflows.environment``), what the lock says back (``signals``).
"""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.calls import RETRY, Calls
    from workflows.contracts.activities import signal_environment
    from workflows.contracts.deployments.environments import (
        BecameLive,
        Join,
        Leave,
        Leaving,
        SignalEnvironment,
        Ticket,
        Yielded,
    )
    from workflows.deployment.journal import Journal
    from workflows.job.recorded import now_ms

_ONE_TRY: Final = timedelta(seconds=10)


class Lock:
    """The lock of whatever environment the deployment is in."""

    def __init__(self, journal: Journal, calls: Calls) -> None:
        self._journal = journal
        self._calls = calls
        self._telling = asyncio.Lock()  # a handler's join must not overtake the main line's leave

    async def join(self, *, ready: bool) -> None:
        """Take a place in line, or change the ticket; ``ready``: nobody's approval is missing."""
        state = self._journal.state
        environment, deployment = state.environment, state.deployment
        ticket = Ticket(
            deployment_id=deployment.deployment_id,
            workflow_id=workflow.info().workflow_id,
            version=deployment.version,
            git_commit_sha=deployment.git_commit_sha,
            arrived_at=now_ms(),
            ready=ready,
            final=state.final,
            supersede=environment.supersede,
            order=state.progress.order,
            freeze_windows=environment.freeze_windows,
            allow_windows=environment.allow_windows,
            override_freeze=state.progress.override_freeze,
        )
        self._journal.state = state.noting(in_line=True)
        await self._tell(environment.name, join=Join(ticket=ticket))

    async def leave(self, leave: Leave, *, committed: bool = False) -> None:
        """Out of the line, or the lock back, if it knows of this deployment. ``committed``: see ``_tell``."""
        state = self._journal.state
        if state.progress.in_line:
            self._journal.state = state.noting(in_line=False, granted=None)
            await self._tell(state.environment.name, leave=leave, committed=committed)

    async def give_back(self) -> None:
        """Out of the line, or its turn back, to come again later."""
        state = self._journal.state
        grant = state.progress.granted
        if grant is not None:
            self._journal.state = state.noting(left_fence=grant.fence)
        await self.leave(Leave(deployment_id=state.identity, how=Leaving.ENDED))

    async def became_live(self, environment: str) -> None:
        """The version is live there; the one before is superseded by it."""
        await self._tell(environment, became_live=BecameLive(deployment_id=self._journal.state.identity))

    async def hand_over(self, environment: str) -> None:
        """The live version gives this turn to the next one."""
        grant = self._journal.state.progress.granted
        answer = Yielded(deployment_id=self._journal.state.identity, fence=grant.fence if grant else None)
        await self._tell(environment, yielded=answer)

    async def _tell(
        self,
        environment: str,
        *,
        join: Join | None = None,
        leave: Leave | None = None,
        became_live: BecameLive | None = None,
        yielded: Yielded | None = None,
        committed: bool = False,
    ) -> None:
        """Tell the lock, in this very workflow task; or, ``committed``, only after the task is in the history."""
        signal = SignalEnvironment(
            service_name=self._journal.state.deployment.service_name,
            environment=environment,
            join=join,
            leave=leave,
            became_live=became_live,
            yielded=yielded,
        )
        said = next(name for name in ("join", "leave", "became_live", "yielded") if getattr(signal, name) is not None)
        async with self._telling:
            if not committed:
                await self._calls.call(signal_environment, signal, summary=f"{environment}: {said}")
                return
            await workflow.execute_activity(
                signal_environment,
                signal,
                start_to_close_timeout=_ONE_TRY,
                retry_policy=RETRY,
                summary=f"{environment}: {said}",
            )
