"""What the trail tells of a job's attempts and of its end: each once, in the write that makes it so."""

from typing import Any

import pytest

from activities.chaining.middleware import ObserveChain
from activities.jobs.told import with_what_is_told
from activities.jobs.writers import JobCreator, JobWriter
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.open import open_memory_stores
from tests.stores.trails import trail
from tests.unit.fakes import make_job
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

ATTEMPT = Attempt(
    number=1, pool="default", queued_at=1_000, log_url="/x", agent_id="build-1", claimed_at=2_000, outcome=None
)
ENDED = ATTEMPT.model_copy(
    update={"finished_at": 3_000, "outcome": Outcome.FAILED, "exit_code": 2, "cause": "exit", "message": "exit code 2"}
)


def told(job: Job, previous: QueueStatus | None) -> AuditEvent | None:
    events = with_what_is_told(JobWrite(job=job, previous=previous)).events
    assert len(events) <= 1
    return events[0] if events else None


def job_in(status: JobStatus, queue_status: QueueStatus, *attempts: Attempt, **changes: Any) -> Job:
    return make_job(
        status=status, queue_status=queue_status, attempts=list(attempts), labels={"service": "checkout"}, **changes
    )


def test_an_attempt_is_told_when_an_agent_has_it_and_once() -> None:
    running = job_in(JobStatus.RUNNING, QueueStatus.RUNNING, ATTEMPT)
    event = told(running, QueueStatus.QUEUED)
    assert event is not None
    assert (event.action, event.at, event.job_id, event.pool) == ("attempt.started", 2_000, running.job_id, "default")
    assert event.details == {"attempt": 1, "agent": "build-1", "service": "checkout"}
    assert told(running, QueueStatus.CLAIMED) is None
    assert told(running, QueueStatus.RUNNING) is None


def test_an_attempt_that_is_followed_by_another_tells_how_it_ended() -> None:
    for previous in (QueueStatus.RUNNING, QueueStatus.QUEUED):
        event = told(job_in(JobStatus.QUEUED, QueueStatus.QUEUED, ENDED), previous)
        assert event is not None
        assert (event.action, event.at, event.message) == ("attempt.ended", 3_000, "exit code 2")
        assert (event.details["outcome"], event.details["exit_code"], event.details["cause"]) == ("failed", 2, "exit")


@pytest.mark.parametrize(
    ("status", "queue_status", "action"),
    [
        (JobStatus.SUCCESS, QueueStatus.COMPLETED, "job.succeeded"),
        (JobStatus.FAILED, QueueStatus.FAILED, "job.failed"),
        (JobStatus.TIMEOUT, QueueStatus.FAILED, "job.failed"),
        (JobStatus.ERROR, QueueStatus.FAILED, "job.failed"),
        (JobStatus.CANCELLED, QueueStatus.CANCELLED, "job.stopped"),
        (JobStatus.DEAD_LETTERED, QueueStatus.DEAD_LETTERED, "job.parked"),
    ],
)
def test_the_end_of_a_job_is_told_by_what_it_is(status: JobStatus, queue_status: QueueStatus, action: str) -> None:
    job = job_in(status, queue_status, ENDED, completed_at=3_001, exit_code=0, duration_seconds=1.0)
    event = told(job, QueueStatus.RUNNING)
    assert event is not None
    assert (event.action, event.at) == (action, 3_001)
    assert (event.details["status"], event.details["attempt"], event.details["exit_code"]) == (status, 1, 0)


def test_what_was_told_before_is_not_told_again() -> None:
    parked = job_in(JobStatus.DEAD_LETTERED, QueueStatus.DEAD_LETTERED, ENDED, completed_at=3_001)
    redriven = job_in(JobStatus.QUEUED, QueueStatus.QUEUED, ENDED)
    assert told(parked, QueueStatus.DEAD_LETTERED) is None, "it was edited"
    assert told(redriven, QueueStatus.DEAD_LETTERED) is None
    first, again = told(parked, QueueStatus.RUNNING), told(redriven, QueueStatus.QUEUED)
    assert first is not None
    assert again is not None
    assert first.event_id == again.event_id, "an edit of its place in line tells of no second end"
    discarded = told(job_in(JobStatus.FAILED, QueueStatus.FAILED, ENDED), QueueStatus.DEAD_LETTERED)
    assert discarded is not None
    assert (discarded.action, discarded.details["attempt"]) == ("job.failed", None)


async def test_the_event_is_kept_with_the_record_and_a_stale_write_tells_nothing() -> None:
    stores = open_memory_stores()
    middleware = [ObserveChain()]
    creator, writer = (
        JobCreator(stores.jobs, stores.agents, middleware),
        JobWriter(stores.jobs, stores.agents, middleware),
    )
    queued = make_job(status=JobStatus.QUEUED, queue_status=QueueStatus.QUEUED, sequence=1)
    await creator.create(JobWrite(job=queued))
    done = queued.model_copy(
        update={
            "status": JobStatus.SUCCESS, "queue_status": QueueStatus.COMPLETED, "sequence": 2, "attempts": [ENDED],
            "completed_at": 3_001,
        }
    )  # fmt: skip
    write = JobWrite(job=done, previous=QueueStatus.QUEUED)
    assert [await writer.write(write), await writer.write(write)] == [WriteOutcome.APPLIED, WriteOutcome.STALE]
    stopped = done.model_copy(update={"status": JobStatus.CANCELLED, "queue_status": QueueStatus.CANCELLED})
    stale = JobWrite(job=stopped, previous=QueueStatus.QUEUED)
    assert await writer.write(stale) is WriteOutcome.STALE
    found = await trail(stores.events, EventQuery(job_id=queued.job_id))
    assert [event.action for event in found] == ["job.succeeded"]
