"""Which chain writes which change of a record: the explicit registry that ``record_job`` looks into.

Which change is which operation stands in ``links.transitions``. Deliberately not here: the first write (JobCreation).
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from codeuchain import Middleware

from activities.chains.complete_job import build_complete_job_chain
from activities.chains.dead_letter_job import build_dead_letter_job_chain
from activities.chains.enqueue_job import build_enqueue_job_chain
from activities.chains.job_execution import build_job_execution_chain
from activities.chains.retry_job import build_retry_job_chain
from activities.chains.start_job import build_start_job_chain
from activities.chains.support import NamedChain, run_chain
from activities.links.transitions import Operation, operation_of
from activities.stores.interfaces import JobStore, WriteOutcome
from workflows.contracts.records import JobWrite


class BuildChain(Protocol):
    """The shape of the builders of chains that write."""

    def __call__(self, store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
        """The chain."""
        ...


BUILDERS: Final[Mapping[Operation, BuildChain]] = {
    Operation.ENQUEUE: build_enqueue_job_chain,
    Operation.START: build_start_job_chain,
    Operation.EXECUTE: build_job_execution_chain,
    Operation.RETRY: build_retry_job_chain,
    Operation.COMPLETE: build_complete_job_chain,
    Operation.DEAD_LETTER: build_dead_letter_job_chain,
}


class JobWriter:
    """Writes a record's next state by the chain of its change. Safe for concurrent use."""

    def __init__(self, store: JobStore, middleware: Sequence[Middleware] = ()) -> None:
        self._chains = {operation: build(store, middleware) for operation, build in BUILDERS.items()}

    async def write(self, write: JobWrite) -> WriteOutcome:
        """Raises InvalidState for a change that no operation may write, Unavailable."""
        chain = self._chains[operation_of(write)]
        return await run_chain(chain, {"write": write}, result="outcome", kind=WriteOutcome)
