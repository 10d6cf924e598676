"""Queue chain EnqueueJob: UpdateJobStatus. For when a job is put back in line, or to another place in it."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chains.support import NamedChain, build_chain
from activities.links.transitions import Operation
from activities.links.update_job_status import UpdateJobStatus
from activities.stores.interfaces import JobStore


def build_enqueue_job_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("EnqueueJob", [UpdateJobStatus(store, Operation.ENQUEUE)], middleware)
