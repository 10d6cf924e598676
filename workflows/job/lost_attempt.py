"""What an agent's answer means, and what it means that there is none: Temporal's failure becomes an outcome. Pure.

An answer is read here and not by the SDK: one that cannot be read would fail the workflow's task again and again, and
the job could not even be cancelled any more.
"""

from typing import Final

from temporalio.common import RawValue
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from workflows.contracts.attempts import AttemptResult
from workflows.contracts.ids import LEASE_SECONDS
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import Outcome
from workflows.job.record import lost_result

MAX_RESULT_BYTES: Final = 128 * 1024
"""Several times what 100 steps and 100 artifacts need."""
_MAX_MESSAGE_CHARACTERS = 1000


def reported(job: Job, number: int, answer: RawValue | None, converter: PayloadConverter, now: int) -> AttemptResult:
    """The result that the agent answered with; an agent's error when it is none, or is not of this attempt."""
    try:
        if answer is None:
            raise ValueError("it is empty")
        if (size := len(answer.payload.data)) > MAX_RESULT_BYTES:
            raise ValueError(f"it has {size} bytes, and at most {MAX_RESULT_BYTES} are read")
        result = converter.from_payload(answer.payload, AttemptResult)
        if result.attempt != number:
            raise ValueError(f"it is of attempt {result.attempt}")
    except Exception as error:  # a converter may raise anything
        agent = f"Agent {job.agent_id}" if job.agent_id else "The agent"
        why = str(error) if type(error) is ValueError else type(error).__name__
        message = (
            f"{agent} answered with something that is no result of attempt {number} ({why}). Look at its version, and"
            " at who else has its token."
        )
        return lost_result(job, number, Outcome.AGENT_ERROR, message, now)
    return result


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
