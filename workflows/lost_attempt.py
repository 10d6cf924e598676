"""What it means that an agent did not answer with a result: Temporal's failure becomes an outcome. Pure."""

from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from workflows.contracts.attempts import AttemptResult
from workflows.contracts.ids import LEASE_SECONDS
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import Outcome
from workflows.job_record import lost_result

_MAX_MESSAGE_CHARACTERS = 1000


def unreported(job: Job, number: int, error: ActivityError, now: int) -> AttemptResult | None:
    """The result of an attempt that nobody reported. None: it was taken from the queue before an agent had it."""
    cause = error.cause
    if isinstance(cause, CancelledError):
        return None
    agent = f"Agent {job.agent_id}" if job.agent_id else "The agent"
    if isinstance(cause, TemporalTimeoutError) and cause.type is TimeoutType.HEARTBEAT:
        message = f"{agent} stopped answering: its lease of {LEASE_SECONDS} s lapsed."
        return lost_result(job, number, Outcome.AGENT_LOST, message, now)
    if isinstance(cause, TemporalTimeoutError):
        message = f"{agent} did not end the attempt within {job.timeout_seconds} s."
        return lost_result(job, number, Outcome.TIMED_OUT, message, now)
    if isinstance(cause, ApplicationError) and cause.type in {"CancelledError", "WorkerShutdown"}:
        message = f"{agent} was shut down in the middle of the attempt."
        return lost_result(job, number, Outcome.AGENT_LOST, message, now)
    message = f"{agent} failed: {cause or error}"
    return lost_result(job, number, Outcome.AGENT_ERROR, message[:_MAX_MESSAGE_CHARACTERS], now)
