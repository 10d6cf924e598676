"""Reconciliation: which records are closed, with which words, and which are left alone."""

import pytest

from activities.jobs.readers import JobReader
from activities.jobs.reconcile import CAUSE, QUIET_MILLIS, ClosedWorkflow, Reconciler
from activities.jobs.writers import JobWriter
from tests.unit.fakes import FakeJobStore, make_job, no_agents
from workflows.contracts.commands import ReconcileResult
from workflows.contracts.errors import Unavailable
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

NOW = 10_000_000
LONG_AGO = NOW - 10 * QUIET_MILLIS


class FakeWorkflows:
    """``ended`` says how workflows closed; every other one runs, but visibility shows only those in ``shown``."""

    def __init__(self, ended: dict[str, ClosedWorkflow], shown: set[str] | None = None) -> None:
        self.ended, self.shown = ended, shown or set[str]()
        self.asked: list[str] = []
        self.stuck: set[str] = set()

    async def open_job_ids(self) -> set[str]:
        return self.shown

    async def closed(self, job_id: str) -> ClosedWorkflow | None:
        self.asked.append(job_id)
        return self.ended.get(job_id)

    async def create_record(self, job_id: str) -> bool:
        self.asked.append(job_id)
        if job_id in self.stuck:
            raise Unavailable("nothing answered in time")
        return job_id not in self.ended


def job(job_id: str, status: JobStatus, queue_status: QueueStatus, **changes: object) -> Job:
    return make_job(
        job_id, **{"status": status, "queue_status": queue_status, "created_at": LONG_AGO, "sequence": 4, **changes}
    )


async def reconcile(store: FakeJobStore, workflows: FakeWorkflows) -> ReconcileResult:
    return await Reconciler(JobReader(store), JobWriter(store, no_agents()), workflows, lambda: NOW).run(
        lambda checked: None
    )


@pytest.mark.parametrize(
    ("status", "queue_status"),
    [
        (JobStatus.PENDING, QueueStatus.QUEUED),
        (JobStatus.QUEUED, QueueStatus.QUEUED),
        (JobStatus.RUNNING, QueueStatus.CLAIMED),
        (JobStatus.RUNNING, QueueStatus.RUNNING),
        (JobStatus.DEAD_LETTERED, QueueStatus.DEAD_LETTERED),
    ],
)
async def test_an_open_record_of_a_closed_workflow_becomes_an_error(
    status: JobStatus, queue_status: QueueStatus
) -> None:
    store = FakeJobStore(job("a", status, queue_status))
    result = await reconcile(store, FakeWorkflows({"a": ClosedWorkflow("terminated")}))
    assert result == ReconcileResult(checked=1, closed=["a"])
    record = store.jobs["a"]
    assert (record.status, record.queue_status, record.sequence) == (JobStatus.ERROR, QueueStatus.FAILED, 5)
    assert (record.cause, record.completed_at) == (CAUSE, NOW)
    assert "terminated" in (record.error_message or "")
    assert "hybridci job retry a" in (record.error_message or "")
    assert store.writes[0].previous is queue_status  # so that the counters move


async def test_the_attempt_under_way_is_ended_with_it() -> None:
    attempts = [Attempt(number=1, queued_at=1, finished_at=5, outcome=Outcome.FAILED), Attempt(number=2, queued_at=6)]
    started = LONG_AGO + 1
    store = FakeJobStore(job("a", JobStatus.RUNNING, QueueStatus.RUNNING, attempts=attempts, started_at=started))
    await reconcile(store, FakeWorkflows({"a": ClosedWorkflow("timed out")}))
    first, second = store.jobs["a"].attempts
    assert first == attempts[0]
    assert (second.finished_at, second.outcome, second.cause) == (NOW, Outcome.CANCELLED, CAUSE)
    assert store.jobs["a"].duration_seconds == (NOW - started) / 1000


async def test_the_result_of_a_workflow_that_ended_by_itself_is_written() -> None:
    store = FakeJobStore(job("a", JobStatus.RUNNING, QueueStatus.RUNNING))
    ended = job("a", JobStatus.SUCCESS, QueueStatus.COMPLETED, completed_at=NOW - 1, sequence=7, exit_code=0)
    result = await reconcile(store, FakeWorkflows({"a": ClosedWorkflow("completed", ended)}))
    assert result.closed == ["a"]
    assert store.jobs["a"] == ended


async def test_what_runs_is_left_alone_and_asked_about_only_when_visibility_lags() -> None:
    store = FakeJobStore(*(job(name, JobStatus.RUNNING, QueueStatus.RUNNING) for name in ("shown", "hidden")))
    workflows = FakeWorkflows({}, shown={"shown"})
    assert await reconcile(store, workflows) == ReconcileResult(checked=2)
    assert workflows.asked == ["hidden"]
    assert store.writes == []


@pytest.mark.parametrize("field", ["created_at", "queued_at", "started_at", "completed_at"])
async def test_a_record_that_changed_a_moment_ago_is_left_alone(field: str) -> None:
    store = FakeJobStore(job("a", JobStatus.RUNNING, QueueStatus.RUNNING, **{field: NOW - QUIET_MILLIS + 1}))
    assert (await reconcile(store, FakeWorkflows({"a": ClosedWorkflow("deleted")}))).closed == []


async def test_final_records_are_never_touched() -> None:
    store = FakeJobStore(job("a", JobStatus.SUCCESS, QueueStatus.COMPLETED))
    assert await reconcile(store, FakeWorkflows({"a": ClosedWorkflow("deleted")})) == ReconcileResult(checked=0)


async def test_all_pages_are_looked_at_and_a_second_run_finds_nothing() -> None:
    names = [str(number) for number in range(23)]
    store = FakeJobStore(*(job(name, JobStatus.QUEUED, QueueStatus.QUEUED) for name in names))
    store.page_size = 23
    workflows = FakeWorkflows({name: ClosedWorkflow("terminated") for name in names})
    assert sorted((await reconcile(store, workflows)).closed) == sorted(names)
    assert await reconcile(store, workflows) == ReconcileResult(checked=0)


async def test_what_runs_without_a_record_gets_one() -> None:
    """Of what Temporal runs: `a` is recorded, `b` has just ended, `c` ends while it is asked, `d` has no record."""
    recorded = job("a", JobStatus.QUEUED, QueueStatus.QUEUED), job("b", JobStatus.SUCCESS, QueueStatus.COMPLETED)
    workflows = FakeWorkflows({"c": ClosedWorkflow("terminated")}, {"a", "b", "c", "d"})
    assert await reconcile(FakeJobStore(*recorded), workflows) == ReconcileResult(checked=1, created=["d"])
    assert sorted(workflows.asked) == ["c", "d"]


async def test_a_workflow_that_does_not_answer_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    workflows = FakeWorkflows({}, {"a", "b", "c"})
    workflows.stuck.add("b")
    assert (await reconcile(FakeJobStore(), workflows)).created == ["a", "c"]
    assert "a record is missing" in caplog.text
