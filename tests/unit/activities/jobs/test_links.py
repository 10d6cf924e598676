"""Links, one by one: what they answer, what they refuse, and that they refuse loudly."""

import json
import traceback
from itertools import product
from typing import Any

import pytest
from codeuchain import Context

from activities.chaining.links import ChainMiswiredError, require
from activities.jobs.links import (
    CreateJob,
    ListRunningJobs,
    ReadDayStats,
    RecordJobExecution,
    RetrieveJob,
    SerializeJob,
    UpdateJobStatus,
    ValidateJobCreation,
)
from activities.jobs.transitions import OPERATIONS, VIEWS, JobOperation, check_transition, operation_of
from activities.stores.documents import load_job
from activities.stores.interfaces.writes import WriteOutcome
from tests.unit.fakes import SPEC, FakeJobStore, make_job
from workflows.contracts.errors import ErrorCode, InvalidState, NotFound, ValidationFailed
from workflows.contracts.jobs import Attempt, Job, JobSpec
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus


def context(**data: object) -> Context[Any]:
    return Context[Any](data)


def validator() -> ValidateJobCreation:
    return ValidateJobCreation(clock=lambda: 42, new_id=lambda: "new-id")


def in_state(queue_status: QueueStatus, sequence: int = 0) -> Job:
    status = sorted(VIEWS[queue_status])[0]
    completed_at = 9_000 if status.final else None
    return make_job(status=status, queue_status=queue_status, completed_at=completed_at, sequence=sequence)


class TestRequire:
    def test_gives_the_value(self) -> None:
        assert require(context(job_id="x"), "job_id", str) == "x"

    @pytest.mark.parametrize("data", [{}, {"job_id": None}, {"job_id": 7}])
    def test_fails_loudly_where_context_get_answers_none(self, data: dict[str, object]) -> None:
        with pytest.raises(ChainMiswiredError, match="job_id"):
            require(Context[Any](data), "job_id", str)


class TestValidateJobCreation:
    async def test_names_every_bad_field_at_once(self) -> None:
        request: dict[str, object] = {
            **SPEC,
            "git_commit_sha": "main",
            "git_repo": "ext::sh -c id",
            "steps": [{"name": "ok", "run": "true"}, {"name": "", "run": "x", "shel": "sh"}],
            "retry": {"max_attempts": 0},
            "surprise": 1,
        }
        del request["git_author"]
        with pytest.raises(ValidationFailed) as caught:
            await validator().call(context(request=request))
        assert {error.field for error in caught.value.errors} == {
            "git_commit_sha",
            "git_repo",
            "git_author",
            "steps.1.name",
            "steps.1.shel",
            "retry.max_attempts",
            "surprise",
        }
        messages = {error.field: error.message for error in caught.value.errors}
        assert messages["git_repo"].startswith("must not contain white space")
        assert all(messages.values())
        assert caught.value.code is ErrorCode.VALIDATION_FAILED
        assert not caught.value.retryable

    async def test_values_stay_out_of_the_error(self) -> None:
        request: dict[str, object] = {**SPEC, "env": {"TOKEN": 12345678}, "surprise": "hunter2"}
        with pytest.raises(ValidationFailed) as caught:
            await validator().call(context(request=request))
        told = "".join(traceback.format_exception(caught.value)) + str(caught.value.details)
        assert "env.TOKEN" in told
        assert "12345678" not in told
        assert "hunter2" not in told

    async def test_a_mapping_becomes_a_fresh_record(self) -> None:
        answer = await validator().call(context(request=SPEC))
        job = require(answer, "job", Job)
        assert (job.job_id, job.created_at, job.git_author) == ("new-id", 42, "ann@example.com")

    async def test_a_specification_gets_the_id_it_is_given(self) -> None:
        answer = await validator().call(context(request=JobSpec.model_validate(SPEC), job_id="mine"))
        assert require(answer, "job", Job).job_id == "mine"

    async def test_a_whole_job_stays_what_it_is(self) -> None:
        job = make_job(sequence=1, exit_code=0)
        answer = await validator().call(context(request=job))
        assert require(answer, "job", Job) is job

    async def test_a_job_that_was_made_past_its_specification_is_refused(self) -> None:
        with pytest.raises(ValidationFailed) as caught:
            await validator().call(context(request=make_job(git_repo="--upload-pack=id", timeout_seconds=0)))
        assert {error.field for error in caught.value.errors} == {"git_repo", "timeout_seconds"}

    async def test_anything_else_is_our_own_mistake(self) -> None:
        with pytest.raises(ChainMiswiredError):
            await validator().call(context())


class TestWriting:
    async def test_create_writes_once(self) -> None:
        store = FakeJobStore()
        link = CreateJob(store)
        job = make_job(sequence=1)
        assert (await link.call(context(job=job))).get("outcome") is WriteOutcome.APPLIED
        assert (await link.call(context(job=job))).get("outcome") is WriteOutcome.STALE
        assert [write.previous for write in store.writes] == [None]

    async def test_create_refuses_a_job_that_has_moved_on(self) -> None:
        store = FakeJobStore()
        with pytest.raises(InvalidState):
            await CreateJob(store).call(context(job=in_state(QueueStatus.RUNNING)))
        assert store.writes == []

    async def test_update_writes_what_its_operation_may(self) -> None:
        store = FakeJobStore()
        write = JobWrite(job=in_state(QueueStatus.RUNNING, sequence=2), previous=QueueStatus.QUEUED)
        answer = await UpdateJobStatus(store, JobOperation.START).call(context(write=write))
        assert answer.get("outcome") is WriteOutcome.APPLIED
        with pytest.raises(InvalidState, match="that is for start"):
            await UpdateJobStatus(store, JobOperation.ENQUEUE).call(context(write=write))

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"completed_at": None}, "completed_at"),
            ({"attempts": [Attempt(number=2, queued_at=1), Attempt(number=1, queued_at=1)]}, "ascending"),
        ],
    )
    async def test_an_execution_that_contradicts_itself_is_not_recorded(
        self, changes: dict[str, object], problem: str
    ) -> None:
        store = FakeJobStore()
        job = in_state(QueueStatus.COMPLETED, sequence=3).model_copy(update=changes)
        link = RecordJobExecution(store, JobOperation.COMPLETE)
        with pytest.raises(InvalidState, match=problem):
            await link.call(context(write=JobWrite(job=job, previous=QueueStatus.RUNNING)))
        assert store.writes == []


class TestTransitions:
    def test_nothing_leaves_a_final_state_and_nothing_returns_to_none(self) -> None:
        final = {QueueStatus.COMPLETED, QueueStatus.FAILED, QueueStatus.CANCELLED}
        assert not {before for before, _ in OPERATIONS} & final
        assert {after for before, after in OPERATIONS if before is None} == {QueueStatus.QUEUED}

    def test_every_open_state_can_end_in_every_final_one(self) -> None:
        opened = [QueueStatus.QUEUED, QueueStatus.CLAIMED, QueueStatus.RUNNING, QueueStatus.DEAD_LETTERED]
        final = [QueueStatus.COMPLETED, QueueStatus.FAILED, QueueStatus.CANCELLED]
        assert {OPERATIONS[change] for change in product(opened, final)} == {JobOperation.COMPLETE}

    def test_every_operation_accepts_its_own_changes_and_refuses_the_others(self) -> None:
        accepted = 0
        for before, after, operation in product([None, *QueueStatus], QueueStatus, JobOperation):
            write = JobWrite(job=in_state(after), previous=before)
            if OPERATIONS.get((before, after)) is operation:
                check_transition(operation, write)
                assert operation_of(write) is operation
                accepted += 1
            else:
                with pytest.raises(InvalidState) as caught:
                    check_transition(operation, write)
                assert not caught.value.retryable
                assert caught.value.details["queue_status"] == after
        assert accepted == len(OPERATIONS)

    def test_the_views_cover_every_status_and_disagreement_is_refused(self) -> None:
        assert set(VIEWS) == set(QueueStatus)
        assert {status for views in VIEWS.values() for status in views} == set(JobStatus)
        lying = make_job(status=JobStatus.SUCCESS, queue_status=QueueStatus.FAILED, completed_at=1)
        with pytest.raises(InvalidState, match="contradicts"):
            check_transition(JobOperation.COMPLETE, JobWrite(job=lying, previous=QueueStatus.RUNNING))


class TestReading:
    async def test_retrieve_raises_not_found_with_the_id(self) -> None:
        with pytest.raises(NotFound) as caught:
            await RetrieveJob(FakeJobStore()).call(context(job_id="nope"))
        assert caught.value.details == {"job_id": "nope"}

    async def test_running_asks_for_running_whatever_the_query_says(self) -> None:
        store = FakeJobStore()
        await ListRunningJobs(store).call(context(query=JobQuery(status=JobStatus.FAILED, pool="gpu", limit=7)))
        assert store.queries == [JobQuery(status=JobStatus.RUNNING, pool="gpu", limit=7)]

    @pytest.mark.parametrize("day", ["2026-02-30", "20261121", "2026-W47-6", "today", "", "२०२६-११-२१"])
    async def test_a_day_of_another_form_is_refused(self, day: str) -> None:
        with pytest.raises(ValidationFailed) as caught:
            await ReadDayStats(FakeJobStore()).call(context(day=day))
        assert caught.value.errors[0].field == "day"

    async def test_serializing_drops_nothing(self) -> None:
        job = make_job(exit_code=0, error_message="", metadata={"naïve": [None, 2**70, 0.5, {"": False}]})
        text = require(await SerializeJob().call(context(job=job)), "serialized", str)
        serialized = json.loads(text)
        assert serialized["exit_code"] == 0
        assert serialized["error_message"] == ""
        assert serialized["agent_id"] is None
        assert Job.model_validate(serialized) == job
        assert load_job(text) == job
