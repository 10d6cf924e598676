"""What the history of a workflow says of a task that fails: since when, why, and where it may be taken back to. Pure.

Deliberately not here: asking the server (``stuck``).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, PendingActivityState, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import CanceledFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo

from workflows.contracts.activities import run_attempt

COMPLETED: Final = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
TASK_ENDS: Final = frozenset(
    {
        COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    }
)
_HARMLESS: Final = frozenset(
    {
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FAILOVER_CLOSE_COMMAND,
    }
)
"""Causes of a failed task that say nothing about the workflow's code and history."""
_RUNS: Final = frozenset(
    {
        PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
        PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
        PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED,
    }
)


def reset_point(events: Iterable[HistoryEvent], pending: Iterable[PendingActivityInfo] = ()) -> tuple[int | None, str]:
    """The event that ends the last good task, else None and why.

    What came after it is done again, so nothing that runs commands may have come after it. The server itself repeats
    signals, updates and the ends of child workflows.
    """
    last, attempts, obstacle = None, set[int](), ""
    for event in events:
        if event.event_type == COMPLETED:
            last, obstacle = event.event_id, ""
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if event.activity_task_scheduled_event_attributes.activity_type.name == run_attempt.__name__:
                attempts.add(event.event_id)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            if event.activity_task_started_event_attributes.scheduled_event_id in attempts:
                obstacle = "the end of an attempt came after its last good task, and its commands would run again"
        elif event.event_type == EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
            obstacle = "it started a job in its last good task, which would be started again"
    if any(each.activity_type.name == run_attempt.__name__ and each.state in _RUNS for each in pending):
        obstacle = "an agent runs an attempt, which would begin a second time beside it"
    if last is None:
        obstacle = "it never finished a task"
    return (None, obstacle) if obstacle else (last, "")


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended, by the history: with what an agent answered, or with a failure, in which too an agent's
    words can be (its error, the details of a cancellation, its last heartbeat).
    """

    payloads: Sequence[Payload] = ()
    failure: Failure | None = None


def last_answer(events: Iterable[HistoryEvent]) -> Answer | None:
    """The end of an attempt that came after the last good task: whatever stops the next one may be it."""
    attempts, answer = set[int](), None
    for event in events:
        if event.event_type == COMPLETED:
            answer = None
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if event.activity_task_scheduled_event_attributes.activity_type.name == run_attempt.__name__:
                attempts.add(event.event_id)
        else:
            answer = _end_of_one(event, attempts) or answer
    return answer


def _end_of_one(event: HistoryEvent, attempts: Collection[int]) -> Answer | None:
    """What this event says of the end of one of these attempts."""
    match event.event_type:
        case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            scheduled, answer = completed.scheduled_event_id, Answer(payloads=completed.result.payloads)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
            failed = event.activity_task_failed_event_attributes
            scheduled, answer = failed.scheduled_event_id, Answer(failure=failed.failure)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
            late = event.activity_task_timed_out_event_attributes
            scheduled, answer = late.scheduled_event_id, Answer(failure=late.failure)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
            cancelled = event.activity_task_canceled_event_attributes
            failure = Failure(canceled_failure_info=CanceledFailureInfo(details=cancelled.details))
            scheduled, answer = cancelled.scheduled_event_id, Answer(failure=failure)
        case _:
            return None
    return answer if scheduled in attempts else None


def unread_signals(events: Iterable[HistoryEvent]) -> list[HistoryEvent]:
    """The signals that came after the last good task, in order: nothing has been done about them."""
    unread: list[HistoryEvent] = []
    for event in events:
        if event.event_type == COMPLETED:
            unread = []
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
            unread.append(event)
    return unread


def is_failure(event: HistoryEvent) -> bool:
    """True for a task that failed by the workflow's own code or history."""
    return (
        event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        and event.workflow_task_failed_event_attributes.cause not in _HARMLESS
    )


def failure_message(newest_first: Iterable[HistoryEvent]) -> str:
    """Why the task fails: the first failure behind the last good task is in the history, its repetitions are not."""
    for event in newest_first:
        if event.event_type == COMPLETED:
            break
        if is_failure(event):
            return event.workflow_task_failed_event_attributes.failure.message
    return "Its task was given to workers again and again, and none of them finished it in time."
