"""Queue chain StartJob: UpdateJobStatus. For when an agent has claimed the job or runs its steps."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import UpdateJobStatus
from activities.jobs.transitions import Operation
from activities.stores.interfaces import JobStore


def build_start_job_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("StartJob", [UpdateJobStatus(store, Operation.START)], middleware)
