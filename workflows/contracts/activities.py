"""Typed activity stubs: the names and types that workflows call. The bodies are in ``activities`` and ``agent``.

The one place in the contracts that imports temporalio: a stub without its decorator has no name to call it by.
"""

from temporalio import activity

from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.commands import ReconcileResult
from workflows.contracts.records import AwaitJobs, JobWrite, RedriveJobs, RedriveJobsResult, SelectDeadLetters
from workflows.contracts.statuses import JobStatus


@activity.defn(name="run_attempt")
async def run_attempt(attempt: AttemptInput) -> AttemptResult:
    """Agent: run one attempt to its end."""
    raise NotImplementedError


@activity.defn(name="create_job")
async def create_job(write: JobWrite) -> None:
    """Control: validate and create the record (chain JobCreation). Raises validation_failed, not retryable."""
    raise NotImplementedError


@activity.defn(name="record_job")
async def record_job(write: JobWrite) -> None:
    """Control: write the record's next state (chain JobExecution or the queue chain of its transition)."""
    raise NotImplementedError


@activity.defn(name="select_dead_letters")
async def select_dead_letters(request: SelectDeadLetters) -> list[str]:
    """Control: the ids of matching dead letters, oldest first."""
    raise NotImplementedError


@activity.defn(name="redrive_jobs")
async def redrive_jobs(request: RedriveJobs) -> RedriveJobsResult:
    """Control: send each job its redrive update."""
    raise NotImplementedError


@activity.defn(name="await_jobs")
async def await_jobs(request: AwaitJobs) -> dict[str, JobStatus]:
    """Control: wait until all have ended; heartbeats. Returns each job's status."""
    raise NotImplementedError


@activity.defn(name="reconcile_jobs")
async def reconcile_jobs() -> ReconcileResult:
    """Control: close the records whose workflow was closed behind our back (terminated in the Temporal UI)."""
    raise NotImplementedError
