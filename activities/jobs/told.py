"""What the trail tells of a change of a job's record, besides what somebody asked for: its attempts and its end.

Derived from the write itself, so that it is kept in the record's transaction, also for workflows that were begun by an
earlier version. An attempt that began and ended between two writes is told with its end, which says whose it was and
how long it took. Deliberately not here: who asked for what (``workflows.job.recorded``).
"""

from typing import Final

from workflows.contracts.audit.details import AttemptBegun, AttemptEnded, Details, JobEnded
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.jobs import SERVICE_LABEL, Attempt, Job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus
from workflows.contracts.who import Who

_ACTIVE: Final = frozenset({QueueStatus.CLAIMED, QueueStatus.RUNNING})
_ENDS: Final = {
    JobStatus.SUCCESS: EventType.JOB_SUCCEEDED,
    JobStatus.FAILED: EventType.JOB_FAILED,
    JobStatus.TIMEOUT: EventType.JOB_FAILED,
    JobStatus.ERROR: EventType.JOB_FAILED,
    JobStatus.CANCELLED: EventType.JOB_STOPPED,
    JobStatus.DEAD_LETTERED: EventType.JOB_PARKED,
}


def with_what_is_told(write: JobWrite) -> JobWrite:
    """The write with the event of its change, if it has one. One change has one event id, whoever writes it again."""
    event = _told(write)
    return write if event is None else write.model_copy(update={"events": [*write.events, event]})


def _told(write: JobWrite) -> AuditEvent | None:
    job, before = write.job, write.previous
    last = job.attempts[-1] if job.attempts else None
    if job.status.ended and before is not QueueStatus.DEAD_LETTERED:
        return _ended(job, last)
    if job.status.final:  # a dead letter that was given up
        return _ended(job, None)
    if last is None or before is QueueStatus.DEAD_LETTERED:
        return None
    if job.queue_status in _ACTIVE and before is QueueStatus.QUEUED:
        said = AttemptBegun(attempt=last.number, agent=last.agent_id or "", **_service(job))
        return _event(job, said, f"{last.number}-started", last.claimed_at or last.queued_at)
    if job.queue_status is QueueStatus.QUEUED and last.finished_at is not None:
        return _event(job, _attempt_ended(job, last), f"{last.number}-ended", last.finished_at, last.message)
    return None


def _ended(job: Job, last: Attempt | None) -> AuditEvent:
    said = JobEnded(
        kind=_ENDS[job.status],
        status=job.status,
        attempt=last.number if last is not None else None,
        agent=last.agent_id if last is not None else None,
        exit_code=job.exit_code,
        cause=job.cause,
        duration_seconds=job.duration_seconds,
        **_service(job),
    )
    # A parked job's attempt has ended, and is not told of again when the job goes back into its line.
    parked = f"{last.number}-ended" if last is not None else f"{job.queued_at}-parked"
    identity = "ended" if job.status.final else parked
    return _event(job, said, identity, job.completed_at or job.created_at, job.error_message)


def _event(job: Job, said: Details, identity: str, at: int, message: str | None = None) -> AuditEvent:
    who = Who.itself("job")
    event_id, words = f"{job.job_id}-{identity}", (message or "")[:1000]
    return new_event(said, who, event_id=event_id, at=at, message=words, job_id=job.job_id, pool=job.pool)


def _attempt_ended(job: Job, attempt: Attempt) -> AttemptEnded:
    return AttemptEnded(
        attempt=attempt.number,
        agent=attempt.agent_id or "",
        outcome=attempt.outcome or "",
        exit_code=attempt.exit_code,
        cause=attempt.cause,
        **_service(job),
    )


def _service(job: Job) -> dict[str, str]:
    service = job.labels.get(SERVICE_LABEL)
    return {} if service is None else {"service": service}
