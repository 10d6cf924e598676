"""Chain JobExecution: RecordJobExecution. More is known of the attempt that an agent is running."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import RecordJobExecution
from activities.jobs.transitions import Operation
from activities.stores.interfaces import JobStore


def build_job_execution_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("JobExecution", [RecordJobExecution(store, Operation.EXECUTE)], middleware)
