"""Queue chain CompleteJob: RecordJobExecution. For when the job has its final status."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import RecordJobExecution
from activities.jobs.transitions import Operation
from activities.stores.interfaces import JobStore


def build_complete_job_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("CompleteJob", [RecordJobExecution(store, Operation.COMPLETE)], middleware)
