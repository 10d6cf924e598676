"""Chain JobCreation: ValidateJobCreation → NoteDemand → CreateJob → SerializeJob."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain, run_chain
from activities.clock import Clock, epoch_millis
from activities.jobs.links import CreateJob, NoteDemand, SerializeJob, ValidateJobCreation
from activities.stores.interfaces import AgentStore, JobStore, WriteOutcome
from workflows.contracts.records import JobWrite


def build_job_creation_chain(
    store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``request`` (with ``job_id`` when it is no whole Job, and ``events``) in; ``job``, ``outcome`` and ``serialized``
    out.

    A validation error stops the chain before anything is written.
    """
    links = [ValidateJobCreation(clock=clock), NoteDemand(agents, clock=clock), CreateJob(store), SerializeJob()]
    return build_chain("JobCreation", links, middleware)


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
