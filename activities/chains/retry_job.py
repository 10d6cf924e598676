"""Queue chain RetryJob: NoteDemand → RecordJobExecution. For when an attempt has ended and another one follows."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.jobs.links import NoteDemand, RecordJobExecution
from activities.jobs.transitions import Operation
from activities.stores.interfaces import AgentStore, JobStore


def build_retry_job_chain(
    store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    links = [NoteDemand(agents, clock=clock), RecordJobExecution(store, Operation.RETRY)]
    return build_chain("RetryJob", links, middleware)
