"""What an agent's answer means, who gave it, and what it means that there is none: Temporal's failure becomes an
outcome. Pure.

An answer is read here and not by the SDK: one that cannot be read would fail the workflow's task again and again, and
the job could not even be cancelled any more.
"""

from typing import Final

from temporalio.common import RawValue
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from workflows.contracts.attempts import MAX_REPORTED_ARTIFACTS, AttemptResult
from workflows.contracts.fields import shortened, without_misleading
from workflows.contracts.ids import LEASE_SECONDS
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import Outcome
from workflows.job.record import lost_result
from workflows.payloads.holder import holder_of, known_agent

MAX_RESULT_BYTES: Final = 128 * 1024
"""Several times what 100 steps and 100 artifacts need."""
_MAX_MESSAGE_CHARACTERS: Final = 1024
_SEALED: Final = "Encoded failure"
"""The SDK's word for a failure whose words are sealed; the gateway does not pass those on."""
_MAX_CAUSE_CHARACTERS: Final = 100
_MAX_NAME_CHARACTERS: Final = 256
_MAX_AGENT_CHARACTERS: Final = 128
_MAX_STEPS: Final = 100
_MAX_PATH_CHARACTERS: Final = 900
_MAX_NUMBER: Final = 2**53


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
        if max(abs(result.exit_code or 0), abs(result.log_bytes)) > _MAX_NUMBER:
            raise ValueError("its numbers are out of range")
    except Exception as error:  # a converter may raise anything
        agent = f"Agent {job.agent_id}" if job.agent_id else "The agent"
        why = str(error) if type(error) is ValueError else type(error).__name__
        message = (
            f"{agent} answered with something that is no result of attempt {number} ({why}). Look at its version, and"
            " at who else has its token."
        )
        return lost_result(job, number, Outcome.AGENT_ERROR, message, now)
    return _bounded(result)


def answerer(job: Job, result: AttemptResult, answer: RawValue | None, failed_by: str = "") -> str:
    """Who held the attempt, as far as anybody knows: whoever handed the answer on says it, Temporal of a failure
    (``failed_by``), the API of an attempt that was announced with a token. The agent's own word is only taken where it
    is straight at Temporal, which believes any identity too.
    """
    handed_on = holder_of(answer.payload) if answer is not None else None
    announced = next((each.agent_id for each in job.attempts if each.number == result.attempt), None)
    return handed_on or known_agent(failed_by) or announced or known_agent(result.agent_id) or ""


def _bounded(result: AttemptResult) -> AttemptResult:
    """With as much of its texts as a record keeps, and nothing in them that steers who reads it."""
    return result.model_copy(
        update={
            "agent_id": result.agent_id if len(result.agent_id) <= _MAX_AGENT_CHARACTERS else "",
            "cause": _clear(result.cause, _MAX_CAUSE_CHARACTERS, lines=False),
            "message": _clear(result.message, _MAX_MESSAGE_CHARACTERS, lines=True),
            "steps": [
                step.model_copy(update={"name": _clear(step.name, _MAX_NAME_CHARACTERS, lines=False)})
                for step in result.steps[:_MAX_STEPS]
            ],
            "artifacts": [
                each
                for each in result.artifacts[:MAX_REPORTED_ARTIFACTS]
                if len(each.path) <= _MAX_PATH_CHARACTERS and len(each.sha256) <= _MAX_NAME_CHARACTERS
            ],
        }
    )


def _clear(text: str | None, most: int, *, lines: bool) -> str | None:
    return None if text is None else shortened(without_misleading(text, lines=lines), most)


def unreported(job: Job, number: int, error: ActivityError, now: int) -> AttemptResult | None:
    """The result of an attempt that nobody reported. None: it was taken from the queue before an agent had it."""
    cause = error.cause
    if isinstance(cause, CancelledError):
        return None
    agent = f"Agent {job.agent_id}" if job.agent_id else "The agent"
    if isinstance(cause, TemporalTimeoutError) and cause.type is TimeoutType.HEARTBEAT:
        message = f"{agent} stopped answering: its lease of {LEASE_SECONDS} s lapsed."
        return lost_result(job, number, Outcome.AGENT_LOST, message, now)
    if isinstance(cause, TemporalTimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START:
        return None
    if isinstance(cause, TemporalTimeoutError):
        message = f"{agent} did not end the attempt within {job.timeout_seconds} s."
        return lost_result(job, number, Outcome.TIMED_OUT, message, now)
    if isinstance(cause, ApplicationError) and cause.type in {"CancelledError", "WorkerShutdown"}:
        message = f"{agent} was shut down in the middle of the attempt."
        return lost_result(job, number, Outcome.AGENT_LOST, message, now)
    said = str(cause or error)
    if isinstance(cause, ApplicationError) and cause.message == _SEALED:
        said = "an error whose words were sealed; its own log tells them."
    message = _clear(f"{agent} failed: {said}", _MAX_MESSAGE_CHARACTERS, lines=True) or ""
    return lost_result(job, number, Outcome.AGENT_ERROR, message, now)
