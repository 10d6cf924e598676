"""Queue chain EnqueueJob: NoteDemand → UpdateJobStatus. For when a job is put back in line or elsewhere in it."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.jobs.links import NoteDemand, UpdateJobStatus
from activities.jobs.transitions import Operation
from activities.stores.interfaces import AgentStore, JobStore


def build_enqueue_job_chain(
    store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    links = [NoteDemand(agents, clock=clock), UpdateJobStatus(store, Operation.ENQUEUE)]
    return build_chain("EnqueueJob", links, middleware)
