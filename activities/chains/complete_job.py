"""Queue chain CompleteJob: RecordJobExecution. For when the job has its final status."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.transitions import Operation
from activities.links.record_job_execution import RecordJobExecution
from activities.stores.interfaces import JobStore


def build_complete_job_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("CompleteJob", [RecordJobExecution(store, Operation.COMPLETE)], middleware)
