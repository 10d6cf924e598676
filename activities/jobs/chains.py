"""Chains of jobs: which links run, in which order, for each thing that is done with a record.

Those that write take ``write`` and answer ``outcome``. Reads are logged at DEBUG: they are many and change nothing.
Not here: which change is which operation (``transitions``) and who runs a chain (``writers``, ``readers``).
"""

from collections.abc import Callable, Mapping, Sequence
from logging import DEBUG
from typing import Final, Protocol

from codeuchain import Middleware

from activities.chaining.chains import BuildChain, NamedChain, build_chain, chain_of
from activities.chaining.links import Link
from activities.clock import Clock, epoch_millis
from activities.jobs.links import (
    CreateJob,
    ListJobs,
    ListRunningJobs,
    NoteDemand,
    ReadCompletedBy,
    ReadDayStats,
    ReadQueueStats,
    RecordJobExecution,
    RefreshDemands,
    RetrieveJob,
    SerializeJob,
    UpdateJobStatus,
    ValidateJobCreation,
)
from activities.jobs.transitions import JobOperation
from activities.stores.interfaces.agents import AgentStore
from activities.stores.interfaces.jobs import JobStore

WritesJob = Callable[[JobStore, JobOperation], Link]
"""The links that write one operation's changes, as they are made."""


class BuildQueueingChain(Protocol):
    """The shape of the builders of chains after which a job waits for an agent: what it demands is noted first."""

    def __call__(
        self, store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
    ) -> NamedChain:
        """The chain."""
        ...


def build_job_creation_chain(
    store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``request`` (with ``job_id`` when it is no whole Job, and ``events``) in; ``job``, ``serialized`` and ``outcome``
    out.

    A validation error stops the chain before anything is written.
    """
    links = [ValidateJobCreation(clock=clock), NoteDemand(agents, clock=clock), SerializeJob(), CreateJob(store)]
    return build_chain("JobCreation", links, middleware)


def _writing(name: str, link: WritesJob, operation: JobOperation) -> BuildChain[JobStore]:
    def build(store: JobStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis) -> NamedChain:
        return build_chain(name, [SerializeJob(), link(store, operation)], middleware)

    return build


def _queueing(name: str, link: WritesJob, operation: JobOperation) -> BuildQueueingChain:
    def build(
        store: JobStore, agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
    ) -> NamedChain:
        links = [NoteDemand(agents, clock=clock), SerializeJob(), link(store, operation)]
        return build_chain(name, links, middleware)

    return build


build_enqueue_job_chain: Final = _queueing("EnqueueJob", UpdateJobStatus, JobOperation.ENQUEUE)
build_start_job_chain: Final = _writing("StartJob", UpdateJobStatus, JobOperation.START)
build_job_execution_chain: Final = _writing("JobExecution", RecordJobExecution, JobOperation.EXECUTE)
build_retry_job_chain: Final = _queueing("RetryJob", RecordJobExecution, JobOperation.RETRY)
build_complete_job_chain: Final = _writing("CompleteJob", RecordJobExecution, JobOperation.COMPLETE)
build_dead_letter_job_chain: Final = _writing("DeadLetterJob", RecordJobExecution, JobOperation.DEAD_LETTER)
build_refresh_demands_chain: Final = chain_of(RefreshDemands, level=DEBUG)
build_retrieve_job_chain: Final = chain_of(RetrieveJob, level=DEBUG)
build_list_jobs_chain: Final = chain_of(ListJobs, level=DEBUG)
build_list_running_jobs_chain: Final = chain_of(ListRunningJobs, level=DEBUG)
build_queue_stats_chain: Final = chain_of(ReadQueueStats, "QueueStats", level=DEBUG)
build_day_stats_chain: Final = chain_of(ReadDayStats, "DayStats", level=DEBUG)
build_completed_by_chain: Final = chain_of(ReadCompletedBy, "CompletedBy", level=DEBUG)

QUEUEING_BUILDERS: Final[Mapping[JobOperation, BuildQueueingChain]] = {
    JobOperation.ENQUEUE: build_enqueue_job_chain,
    JobOperation.RETRY: build_retry_job_chain,
}
BUILDERS: Final[Mapping[JobOperation, BuildChain[JobStore]]] = {
    JobOperation.START: build_start_job_chain,
    JobOperation.EXECUTE: build_job_execution_chain,
    JobOperation.COMPLETE: build_complete_job_chain,
    JobOperation.DEAD_LETTER: build_dead_letter_job_chain,
}
"""The one chain that writes each operation's changes, but for a record's creation."""
