"""The write side: a record's creation, and its next state by the chain of its change.

Which change is which operation stands in ``transitions``, which chain writes it in ``chains``.
"""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import run_chain
from activities.clock import Clock, epoch_millis
from activities.jobs.chains import BUILDERS, QUEUEING_BUILDERS, build_job_creation_chain, build_refresh_demands_chain
from activities.jobs.transitions import operation_of, refused_job
from activities.stores.interfaces.agents import AgentStore
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.jobs import JobSummary
from workflows.contracts.records import JobWrite


class JobCreator:
    """Creates records: for whoever accepted a job, and for its workflow. Safe for concurrent use."""

    def __init__(
        self, store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
    ) -> None:
        self._chain = build_job_creation_chain(store, agents, middleware, clock=clock)

    async def create(self, write: JobWrite) -> WriteOutcome:
        """The record's first write; STALE: there was one. Raises ValidationFailed, InvalidState, Unavailable."""
        request = {"request": write.job, "events": write.events}
        return await run_chain(self._chain, request, result="outcome", kind=WriteOutcome)


class JobWriter:
    """Writes a record's next state by the chain of its change. Safe for concurrent use."""

    def __init__(
        self, store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
    ) -> None:
        waiting = {
            operation: build(store, agents, middleware, clock=clock) for operation, build in QUEUEING_BUILDERS.items()
        }
        self._chains = waiting | {operation: build(store, middleware) for operation, build in BUILDERS.items()}
        self._refresh = build_refresh_demands_chain(agents, middleware, clock=clock)

    async def write(self, write: JobWrite) -> WriteOutcome:
        """Raises InvalidState for a change that no operation may write, Unavailable."""
        operation = operation_of(write)
        chain = self._chains.get(operation)
        if chain is None:
            raise refused_job(write, "a first write goes through create_job, which validates it")
        return await run_chain(chain, {"write": write, "operation": operation}, result="outcome", kind=WriteOutcome)

    async def refresh_demands(self, jobs: Sequence[JobSummary]) -> int:
        """Keep what these demand, as far as they wait; returns how many demands that were. Raises Unavailable."""
        return await run_chain(self._refresh, {"jobs": [*jobs]}, result="refreshed", kind=int)
