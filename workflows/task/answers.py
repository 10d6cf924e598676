"""What an agent's answer to a question means, and what it means that there is none. Pure.

An answer is untrusted: it is read here and not by the SDK, where one that cannot be read would fail the workflow's task
again and again; it is bounded, and held against the question. Whether it is true nobody here can tell.
"""

from datetime import timedelta
from typing import Final

from pydantic import ValidationError
from temporalio.common import RawValue
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, CancelledError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from workflows.contracts.fields import without_misleading
from workflows.contracts.tasks import (
    MAX_ANSWER_BYTES,
    Answer,
    CommitsAnswer,
    CommitsQuestion,
    HeadAnswer,
    HeadQuestion,
    Question,
    ReadyAnswer,
    ReadyQuestion,
    TaskOutcome,
    TaskReport,
    TaskResult,
    TaskStart,
)
from workflows.payloads.holder import holder_of

_MAX_MESSAGE_CHARACTERS: Final = 500


def not_offered(start: TaskStart) -> TaskResult:
    """Nobody is there to be asked."""
    message = (
        f"No agent of pool {start.pool} answers questions of kind {start.question.kind} now. `hybridci agents list`"
        " shows who is there; an agent of an earlier version, one over HTTP and one with HYBRIDCI_AGENT_TASKS=0 answers"
        " none, and a metric needs HYBRIDCI_PROBES_FILE there."
    )
    return result_of(start, TaskOutcome.NOT_OFFERED, message)


def reported(start: TaskStart, answer: RawValue | None, converter: PayloadConverter) -> TaskResult:
    """What an agent answered; INVALID when that is no answer to this question."""
    try:
        if answer is None:
            raise ValueError("it is empty")
        if (size := len(answer.payload.data)) > MAX_ANSWER_BYTES:
            raise ValueError(f"it has {size} bytes, and at most {MAX_ANSWER_BYTES} are read")
        report = converter.from_payload(answer.payload, TaskReport)
        if report.task_id != start.task_id:
            raise ValueError("it is of another task")
        if report.answer is not None and (wrong := _beside(start.question, report.answer)) is not None:
            raise ValueError(wrong)
    except Exception as error:  # a converter may raise anything
        why = type(error).__name__ if isinstance(error, ValidationError) or type(error) is not ValueError else error
        message = f"What came is no answer to this question ({why}). Look at the versions of the pool's agents."
        return result_of(start, TaskOutcome.INVALID, message)
    return TaskResult(
        task_id=start.task_id,
        pool=start.pool,
        outcome=report.outcome,
        agent_id=holder_of(answer.payload) or without_misleading(report.agent_id, lines=False),
        cause=report.cause,
        message=without_misleading(report.message, lines=False),
        answer=report.answer,
    )


def unreported(start: TaskStart, error: ActivityError) -> TaskResult:
    """No agent answered."""
    cause = error.cause
    if isinstance(cause, CancelledError):
        return result_of(start, TaskOutcome.CANCELLED, "The question was withdrawn.")
    if isinstance(cause, TemporalTimeoutError):
        waits = cause.type in {TimeoutType.SCHEDULE_TO_START, TimeoutType.SCHEDULE_TO_CLOSE}
        what = "was free to answer" if waits else "answered"
        seconds = timedelta(seconds=start.seconds).total_seconds()
        return result_of(start, TaskOutcome.UNANSWERED, f"No agent of pool {start.pool} {what} within {seconds:g} s.")
    said = without_misleading(str(cause or error), lines=False)[:_MAX_MESSAGE_CHARACTERS]
    return result_of(start, TaskOutcome.FAILED, f"The agent failed: {said}")


def result_of(start: TaskStart, outcome: TaskOutcome, message: str, cause: str | None = None) -> TaskResult:
    """One without an answer."""
    return TaskResult(task_id=start.task_id, pool=start.pool, outcome=outcome, cause=cause, message=message)


def _beside(question: Question, answer: Answer) -> str | None:
    """Why this answer cannot be one to this question, or None."""
    if answer.kind != question.kind:
        return f"it is of kind {answer.kind}"
    match question, answer:
        case HeadQuestion(), HeadAnswer() if answer.is_head != (answer.head == question.git_commit_sha):
            return "it contradicts itself"
        case CommitsQuestion(), CommitsAnswer() if len(answer.commits) > question.limit:
            return f"it has {len(answer.commits)} commits, and {question.limit} were asked for"
        case ReadyQuestion(), ReadyAnswer() if not _adds_up(question, answer):
            return "it contradicts itself"
        case _:
            return None


def _adds_up(question: ReadyQuestion, answer: ReadyAnswer) -> bool:
    asked = question.artifact is not None
    return asked == (answer.artifact is not None) and answer.ready == (answer.commit and answer.artifact is not False)
