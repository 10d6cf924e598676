"""Which chain writes which change of a record: the explicit registry that ``record_job`` looks into.

Which change is which operation stands in ``transitions``. Not here: a record's creation (JobCreation).
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, run_chain
from activities.chains.complete_job import build_complete_job_chain
from activities.chains.dead_letter_job import build_dead_letter_job_chain
from activities.chains.enqueue_job import build_enqueue_job_chain
from activities.chains.job_execution import build_job_execution_chain
from activities.chains.refresh_demands import build_refresh_demands_chain
from activities.chains.retry_job import build_retry_job_chain
from activities.chains.start_job import build_start_job_chain
from activities.clock import Clock, epoch_millis
from activities.jobs.transitions import Operation, operation_of
from activities.stores.interfaces import AgentStore, JobStore, WriteOutcome
from workflows.contracts.jobs import JobSummary
from workflows.contracts.records import JobWrite


class BuildChain(Protocol):
    """The shape of the builders of chains that write."""

    def __call__(self, store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
        """The chain."""
        ...


class BuildQueueingChain(Protocol):
    """The shape of the builders of chains after which a job waits for an agent."""

    def __call__(
        self, store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
    ) -> NamedChain:
        """The chain."""
        ...


QUEUEING_BUILDERS: Final[Mapping[Operation, BuildQueueingChain]] = {
    Operation.ENQUEUE: build_enqueue_job_chain,
    Operation.RETRY: build_retry_job_chain,
}
BUILDERS: Final[Mapping[Operation, BuildChain]] = {
    Operation.START: build_start_job_chain,
    Operation.EXECUTE: build_job_execution_chain,
    Operation.COMPLETE: build_complete_job_chain,
    Operation.DEAD_LETTER: build_dead_letter_job_chain,
}


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
        chain = self._chains[operation_of(write)]
        return await run_chain(chain, {"write": write}, result="outcome", kind=WriteOutcome)

    async def refresh_demands(self, jobs: Sequence[JobSummary]) -> int:
        """Keep what these demand, as far as they wait; returns how many demands that were. Raises Unavailable."""
        return await run_chain(self._refresh, {"jobs": [*jobs]}, result="refreshed", kind=int)
