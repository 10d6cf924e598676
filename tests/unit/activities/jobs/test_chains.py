"""Chains: what they put in order, what they refuse to build, and the facade that the API reads through."""

import asyncio
from typing import Any

import pytest
from codeuchain import Context

from activities.chaining.chains import build_chain, run_chain
from activities.chaining.links import ChainMiswiredError
from activities.chaining.middleware import ObserveChain
from activities.jobs import transitions, writers
from activities.jobs.chains import BUILDERS, QUEUEING_BUILDERS, build_job_creation_chain
from activities.jobs.links import SerializeJob
from activities.jobs.readers import JobReader
from activities.jobs.transitions import OPERATIONS, VIEWS, JobOperation
from activities.jobs.writers import JobCreator, JobWriter
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.open import open_memory_stores
from tests.unit.fakes import SPEC, Counting, FakeJobStore, make_job, no_agents
from workflows.contracts.errors import InvalidState, NotFound, Unavailable, ValidationFailed
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus


class TestBuilding:
    def test_two_links_of_one_class_are_refused(self) -> None:
        with pytest.raises(ValueError, match="SerializeJob twice"):
            build_chain("Doubled", [SerializeJob(), SerializeJob()])

    async def test_a_result_that_no_link_inserted_is_our_own_mistake(self) -> None:
        chain = build_chain("Short", [SerializeJob()])
        with pytest.raises(ChainMiswiredError, match="outcome"):
            await run_chain(chain, {"job": make_job()}, result="outcome", kind=WriteOutcome)

    async def test_middleware_without_run_chain_is_our_own_mistake(self) -> None:
        chain = build_chain("Bare", [SerializeJob()], [ObserveChain()])
        with pytest.raises(ChainMiswiredError, match="run_chain"):
            await chain.chain.run(Context[Any]({"job": make_job()}))


class TestJobCreation:
    def test_its_links_in_order(self) -> None:
        assert build_job_creation_chain(FakeJobStore(), no_agents()).links == (
            "ValidateJobCreation",
            "NoteDemand",
            "SerializeJob",
            "CreateJob",
        )

    async def test_a_request_becomes_a_record(self) -> None:
        store = FakeJobStore()
        chain = build_job_creation_chain(store, no_agents(), clock=lambda: 42)
        job = await run_chain(chain, {"request": SPEC, "job_id": "x"}, result="job", kind=Job)
        assert job.created_at == 42
        assert store.jobs["x"] == job

    async def test_a_validation_error_stops_it_before_anything_is_written(self) -> None:
        store = FakeJobStore()
        chain = build_job_creation_chain(store, no_agents())
        with pytest.raises(ValidationFailed) as caught:
            await run_chain(chain, {"request": {}}, result="outcome", kind=WriteOutcome)
        assert {error.field for error in caught.value.errors} == {
            "job_type",
            "git_repo",
            "git_commit_sha",
            "git_author",
        }
        assert store.jobs == {}


class TestJobWriter:
    def test_every_operation_but_the_first_write_has_a_chain(self) -> None:
        assert {*BUILDERS, *QUEUEING_BUILDERS} == set(JobOperation) - {JobOperation.CREATE}

    async def test_every_legal_change_is_written(self) -> None:
        changes = [change for change, operation in OPERATIONS.items() if operation is not JobOperation.CREATE]
        for number, (before, after) in enumerate(changes):
            status = sorted(VIEWS[after])[0]
            completed_at = 9_000 if status.final else None
            job = make_job(str(number), status=status, queue_status=after, completed_at=completed_at)
            store = FakeJobStore()
            assert await JobWriter(store, no_agents()).write(JobWrite(job=job, previous=before)) is WriteOutcome.APPLIED
            assert store.jobs[str(number)] == job

    async def test_a_late_write_changes_nothing(self) -> None:
        newer = make_job(status=JobStatus.RUNNING, queue_status=QueueStatus.RUNNING, sequence=5)
        store = FakeJobStore(newer)
        late = make_job(status=JobStatus.QUEUED, sequence=4)
        assert (
            await JobWriter(store, no_agents()).write(JobWrite(job=late, previous=QueueStatus.QUEUED))
            is WriteOutcome.STALE
        )
        assert store.jobs[newer.job_id] == newer

    async def test_a_record_is_written_as_text_once_and_its_operation_decided_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dumped, decided = Counting(Job.model_dump_json), Counting(transitions.operation_of)
        monkeypatch.setattr(Job, "model_dump_json", dumped.call)
        monkeypatch.setattr(transitions, "operation_of", decided.call)
        monkeypatch.setattr(writers, "operation_of", decided.call)
        stores = open_memory_stores()
        for number, (before, after) in enumerate(OPERATIONS):
            status = sorted(VIEWS[after])[0]
            completed_at = 9_000 if status.final else None
            job = make_job(str(number), status=status, queue_status=after, completed_at=completed_at)
            write = JobWrite(job=job, previous=before)
            if before is None:
                await JobCreator(stores.jobs, stores.agents).create(write)
            else:
                await JobWriter(stores.jobs, stores.agents).write(write)
            assert (dumped.calls, decided.calls) == (number + 1, number + 1)
            assert await stores.jobs.get(str(number)) == job

    async def test_a_first_write_is_for_the_creator(self) -> None:
        store = FakeJobStore()
        with pytest.raises(InvalidState, match="create_job"):
            await JobWriter(store, no_agents()).write(JobWrite(job=make_job(status=JobStatus.QUEUED)))
        assert store.writes == []

    @pytest.mark.parametrize("before", [None, QueueStatus.COMPLETED, QueueStatus.CANCELLED])
    async def test_an_illegal_change_is_refused_for_good(self, before: QueueStatus | None) -> None:
        store = FakeJobStore()
        job = make_job(status=JobStatus.RUNNING, queue_status=QueueStatus.RUNNING)
        with pytest.raises(InvalidState) as caught:
            await JobWriter(store, no_agents()).write(JobWrite(job=job, previous=before))
        assert not caught.value.retryable
        assert store.writes == []


class TestJobReader:
    async def test_get(self) -> None:
        job = make_job(exit_code=0)
        reader = JobReader(FakeJobStore(job))
        assert await reader.get(job.job_id) == job
        with pytest.raises(NotFound):
            await reader.get("nope")

    async def test_lists(self) -> None:
        running = make_job("r", status=JobStatus.RUNNING, agent_id="a1")
        reader = JobReader(FakeJobStore(running, make_job("q", status=JobStatus.QUEUED)))
        assert {job.job_id for job in (await reader.list(JobQuery())).items} == {"r", "q"}
        assert [job.job_id for job in (await reader.running()).items] == ["r"]
        assert [job.job_id for job in (await reader.by_agent("a1", limit=10)).items] == ["r"]
        first = await reader.list(JobQuery(limit=1))
        assert (await reader.list(JobQuery(limit=1, cursor=first.next_cursor))).next_cursor is None

    async def test_overview(self) -> None:
        completed: dict[str, object] = {
            "queue_status": QueueStatus.COMPLETED,
            "status": JobStatus.SUCCESS,
            "completed_at": 9,
        }
        failed: dict[str, object] = {"queue_status": QueueStatus.FAILED, "status": JobStatus.FAILED}
        ends: list[dict[str, object]] = [
            {"queue_status": QueueStatus.RUNNING, "status": JobStatus.RUNNING},
            *[completed] * 3,
            {**failed, "completed_at": 9},
            {**failed, "completed_at": 86_400_000},
            {},
        ]
        store = FakeJobStore(*(make_job(str(number), created_at=number, **end) for number, end in enumerate(ends)))
        overview = await JobReader(store, clock=lambda: 86_400_000 - 1).overview()
        assert overview.model_dump(exclude={"recent_jobs"}) == {
            "total_jobs": 7,
            "jobs_running": 1,
            "jobs_completed": 3,
            "jobs_failed": 2,
            "jobs_failed_today": 1,
            "jobs_queued": 1,
            "jobs_dead_lettered": 0,
        }
        assert [job.job_id for job in overview.recent_jobs] == ["6", "5", "4", "3", "2"]

    async def test_the_day_is_utc(self) -> None:
        assert (await JobReader(FakeJobStore()).day_stats("2026-11-21")).day == "2026-11-21"
        with pytest.raises(ValidationFailed):
            await JobReader(FakeJobStore()).day_stats("yesterday")

    async def test_a_store_that_is_down_is_unavailable_everywhere(self) -> None:
        store = FakeJobStore()
        store.down = True
        reader = JobReader(store)
        calls = [
            reader.get("x"),
            reader.list(JobQuery()),
            reader.running(),
            reader.by_agent("a"),
            reader.queue_stats(),
            reader.day_stats("2026-11-21"),
            reader.completed_by(["a"]),
            reader.overview(),
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * len(calls)
