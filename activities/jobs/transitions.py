"""Which change of a job's queue status each queue operation may write, and which statuses agree with each other.

One table instead of one link class per operation: the operations differ in nothing else. It is the record's last line
of defence against a wrong caller; what happens next is decided in ``workflows.job.workflow``.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from workflows.contracts.errors import InvalidState
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus

Transition = tuple[QueueStatus | None, QueueStatus]
"""(what the workflow wrote last, what it writes now); None for a record's creation."""


class JobOperation(StrEnum):
    """The writes a record can get."""

    CREATE = "create"
    ENQUEUE = "enqueue"  # back in line, or to another place in it
    START = "start"  # an agent has it
    EXECUTE = "execute"  # more is known of the attempt that an agent runs
    RETRY = "retry"  # an attempt has ended, another one follows
    COMPLETE = "complete"  # final
    DEAD_LETTER = "dead_letter"  # parked, or a parked one changed


_OPEN: Final = (QueueStatus.QUEUED, QueueStatus.CLAIMED, QueueStatus.RUNNING, QueueStatus.DEAD_LETTERED)
"""An attempt that ends before its announcement arrives goes straight from QUEUED to what follows."""
_FINAL: Final = (QueueStatus.COMPLETED, QueueStatus.FAILED, QueueStatus.CANCELLED)

OPERATIONS: Final[Mapping[Transition, JobOperation]] = {
    (None, QueueStatus.QUEUED): JobOperation.CREATE,
    (QueueStatus.QUEUED, QueueStatus.QUEUED): JobOperation.ENQUEUE,
    (QueueStatus.DEAD_LETTERED, QueueStatus.QUEUED): JobOperation.ENQUEUE,
    (QueueStatus.QUEUED, QueueStatus.CLAIMED): JobOperation.START,
    (QueueStatus.QUEUED, QueueStatus.RUNNING): JobOperation.START,
    (QueueStatus.CLAIMED, QueueStatus.RUNNING): JobOperation.START,
    (QueueStatus.RUNNING, QueueStatus.CLAIMED): JobOperation.START,  # moved in line and claimed again, in one write
    (QueueStatus.CLAIMED, QueueStatus.CLAIMED): JobOperation.EXECUTE,
    (QueueStatus.RUNNING, QueueStatus.RUNNING): JobOperation.EXECUTE,
    (QueueStatus.CLAIMED, QueueStatus.QUEUED): JobOperation.RETRY,
    (QueueStatus.RUNNING, QueueStatus.QUEUED): JobOperation.RETRY,
    **{(before, after): JobOperation.COMPLETE for before in _OPEN for after in _FINAL},
    **{(before, QueueStatus.DEAD_LETTERED): JobOperation.DEAD_LETTER for before in _OPEN},
}
"""The one operation that writes each change. A change that is not here is illegal."""

VIEWS: Final[Mapping[QueueStatus, frozenset[JobStatus]]] = {
    QueueStatus.QUEUED: frozenset({JobStatus.PENDING, JobStatus.QUEUED}),
    QueueStatus.CLAIMED: frozenset({JobStatus.QUEUED, JobStatus.RUNNING}),
    QueueStatus.RUNNING: frozenset({JobStatus.RUNNING}),
    QueueStatus.COMPLETED: frozenset({JobStatus.SUCCESS}),
    QueueStatus.FAILED: frozenset({JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.ERROR}),
    QueueStatus.CANCELLED: frozenset({JobStatus.CANCELLED}),
    QueueStatus.DEAD_LETTERED: frozenset({JobStatus.DEAD_LETTERED}),
}
"""One job, two views: the statuses that say the same as a queue status."""


def operation_of(write: JobWrite) -> JobOperation:
    """The operation that writes this change. Raises InvalidState when none does."""
    operation = OPERATIONS.get((write.previous, write.job.queue_status))
    if operation is None:
        raise refused_job(write, f"nothing takes a job from {_words(write.previous)} to {write.job.queue_status}")
    return operation


def check_transition(operation: JobOperation, write: JobWrite, decided: JobOperation | None = None) -> None:
    """Raises InvalidState for a change that this operation may not write, or for two views that disagree.

    ``decided``: what ``operation_of`` has said of this write already.
    """
    job = write.job
    actual = decided or operation_of(write)
    if actual is not operation:
        change = f"from {_words(write.previous)} to {job.queue_status}"
        raise refused_job(write, f"{operation} may not take a job {change}; that is for {actual}")
    if job.status not in VIEWS[job.queue_status]:
        agreeing = ", ".join(sorted(VIEWS[job.queue_status]))
        raise refused_job(
            write,
            f"its status {job.status} contradicts its queue status {job.queue_status}, which goes with {agreeing}",
        )


def refused_job(write: JobWrite, why: str) -> InvalidState:
    """The error for a write that must not be."""
    job = write.job
    return InvalidState(
        f"The record of job {job.job_id} was not written: {why}. Look at its workflow: it is ahead of its record.",
        job_id=job.job_id,
        previous=write.previous,
        queue_status=job.queue_status,
        status=job.status,
    )


def _words(status: QueueStatus | None) -> str:
    return status or "no record"
