"""The control worker's activities: they answer to the contract's names, and errors cross as codes."""

import asyncio
import dataclasses
from operator import itemgetter
from typing import Any, get_type_hints

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.bootstrap import build_activities
from activities.clock import epoch_millis
from activities.events.witness import Witness
from activities.jobs.activities import JobActivities
from activities.jobs.readers import JobReader
from activities.jobs.reconcile import ClosedWorkflow, Reconciler
from activities.jobs.writers import JobCreator, JobWriter
from activities.stores.open import open_memory_stores
from tests.unit.fakes import FakeJobStore, make_job, no_agents
from workflows.contracts import activities as stubs
from workflows.contracts.commands import BulkRedrive, DeadLetterFilter, Redrive
from workflows.contracts.errors import InvalidState, NotFound, Unavailable, ValidationFailed, error_from_code
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.records import AwaitJobs, JobWrite, RedriveJobs, RedriveJobsResult, SelectDeadLetters
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus


class NoWorkflows:
    async def open_job_ids(self) -> set[str]:
        return set()

    async def closed(self, job_id: str) -> ClosedWorkflow | None:
        return None

    async def create_record(self, job_id: str) -> bool:
        return False


class Redriver:
    """Stands for ``JobClient.redrive``: answers by job id."""

    def __init__(self, **answers: Exception) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.commands: list[Redrive] = []

    async def __call__(self, job_id: str, command: Redrive, update_id: str | None) -> Job:
        self.asked.append(job_id)
        self.commands.append(command)
        await asyncio.sleep(0)
        if job_id in self.answers:
            raise self.answers[job_id]
        return make_job(job_id)


def build(store: FakeJobStore, redriver: Redriver | None = None, witness: Witness | None = None) -> JobActivities:
    reader, writer = JobReader(store), JobWriter(store, no_agents())
    return JobActivities(
        creator=JobCreator(store, no_agents()),
        writer=writer,
        reader=reader,
        redrive_job=redriver or Redriver(),
        reconciler=Reconciler(reader, writer, NoWorkflows(), epoch_millis),
        witness=witness or Witness(),
    )


def parked(job_id: str, created_at: int, outcome: Outcome = Outcome.FAILED, **changes: Any) -> Job:
    attempt = Attempt(number=1, queued_at=1, outcome=outcome)
    return make_job(
        job_id,
        **{
            "status": JobStatus.DEAD_LETTERED,
            "queue_status": QueueStatus.DEAD_LETTERED,
            "created_at": created_at,
            "attempts": [attempt],
            **changes,
        },
    )


def test_each_body_has_the_name_and_the_types_of_its_stub() -> None:
    def facts(body: Any) -> tuple[str | None, dict[str, Any]]:
        definition = getattr(body, "__temporal_activity_definition")
        return definition.name, {"arguments": definition.arg_types, "result": definition.ret_type}

    agents_own = {"run_attempt", "run_task"}
    expected = [facts(stub) for stub in vars(stubs).values() if hasattr(stub, "__temporal_activity_definition")]
    expected = [(name, types) for name, types in expected if name not in agents_own]
    client: Any = None  # none of them is called
    bodies = build_activities(open_memory_stores(), client).all()
    assert sorted(map(facts, bodies), key=itemgetter(0)) == sorted(expected, key=itemgetter(0))
    assert get_type_hints(JobActivities.create_job)["write"] is JobWrite


class TestErrors:
    async def test_a_refusal_is_final_and_can_be_read_back(self) -> None:
        bad = make_job(git_repo="--upload-pack=id")
        with pytest.raises(ApplicationError) as caught:
            await ActivityEnvironment().run(build(FakeJobStore()).create_job, JobWrite(job=bad))
        error = caught.value
        assert (error.type, error.non_retryable) == ("validation_failed", True)
        back = error_from_code(error.type, error.message, error.details[0])
        assert isinstance(back, ValidationFailed)
        assert [found.field for found in back.errors] == ["git_repo"]

    async def test_a_store_that_is_down_is_tried_again(self) -> None:
        store = FakeJobStore()
        store.down = True
        with pytest.raises(ApplicationError) as caught:
            await ActivityEnvironment().run(
                build(store).record_job, JobWrite(job=make_job(), previous=QueueStatus.QUEUED)
            )
        assert (caught.value.type, caught.value.non_retryable) == ("unavailable", False)

    async def test_what_nobody_foresaw_passes_through(self) -> None:
        redriver = Redriver(a=KeyError("a bug"))
        with pytest.raises(KeyError):
            await ActivityEnvironment().run(build(FakeJobStore(), redriver).redrive_jobs, RedriveJobs(job_ids=["a"]))


class TestSelect:
    async def select(self, store: FakeJobStore, limit: int = 10, **conditions: Any) -> list[str]:
        request = SelectDeadLetters(filter=DeadLetterFilter(**conditions), limit=limit)
        return await ActivityEnvironment().run(build(store).select_dead_letters, request)

    async def test_oldest_first_over_many_pages_up_to_the_limit(self) -> None:
        store = FakeJobStore(*(parked(str(number), number) for number in range(25)), make_job("healthy"))
        store.page_size = 4
        assert await self.select(store, limit=3) == ["0", "1", "2"]
        assert await self.select(store, limit=100) == [str(number) for number in range(25)]

    async def test_all_conditions_hold_together(self) -> None:
        store = FakeJobStore(
            parked("a", 1, cause="oom", pool="gpu"),
            parked("b", 2, cause="oom"),
            parked("c", 3, outcome=Outcome.TIMED_OUT, cause="oom", pool="gpu"),
        )
        assert await self.select(store, cause="oom") == ["a", "b", "c"]
        assert await self.select(store, cause="oom", pool="gpu") == ["a", "c"]
        assert await self.select(store, outcome=Outcome.TIMED_OUT) == ["c"]
        assert await self.select(store, git_repo="https://example.com/other.git") == []

    async def test_named_ones_are_taken_only_when_they_are_parked(self) -> None:
        store = FakeJobStore(parked("b", 2), parked("a", 1), make_job("healthy"))
        assert await self.select(store, job_ids=["b", "healthy", "unknown", "a", "a"]) == ["a", "b"]
        assert await self.select(store, job_ids=["b"], outcome=Outcome.AGENT_LOST) == []
        assert await self.select(store, job_ids=[]) == []


class TestRedrive:
    async def test_refusals_are_results(self) -> None:
        redriver = Redriver(b=InvalidState("it runs"), c=NotFound("gone"))
        request = RedriveJobs(job_ids=["a", "b", "c", "d"])
        result = await ActivityEnvironment().run(build(FakeJobStore(), redriver).redrive_jobs, request)
        assert result == RedriveJobsResult(redriven=["a", "d"], refused={"b": "it runs", "c": "gone"})

    async def test_deployments_jobs_are_left_out_with_the_reason(self) -> None:
        store = FakeJobStore(
            parked("a", 1), parked("b", 2, deployment_id="d-1"), parked("c", 3, created_by="deployment d-2")
        )
        redriver = Redriver()
        environment = ActivityEnvironment()
        result = await environment.run(build(store, redriver).redrive_jobs, RedriveJobs(job_ids=["a", "b", "c"]))
        assert (result.redriven, redriver.asked, result.of_deployments) == (["a"], ["a"], 2)
        assert "belongs to deployment d-1, which alone moves it" in result.refused["b"]
        assert "`hybridci dlq redrive c`" in result.refused["c"]

    async def test_tried_again_it_redrives_none_twice(self) -> None:
        redriver = Redriver(**{"12": Unavailable("Temporal is away")})
        request = RedriveJobs(job_ids=[str(number) for number in range(20)])
        environment = ActivityEnvironment()
        heartbeats: list[Any] = []
        environment.on_heartbeat = lambda *details: heartbeats.append(details)
        with pytest.raises(ApplicationError) as caught:
            await environment.run(build(FakeJobStore(), redriver).redrive_jobs, request)
        assert not caught.value.non_retryable
        redriver.answers.clear()
        again = ActivityEnvironment()
        as_sent = [detail.model_dump(mode="json") for detail in heartbeats[-1]]
        again.info = dataclasses.replace(ActivityEnvironment.default_info(), heartbeat_details=as_sent)
        result = await again.run(build(FakeJobStore(), redriver).redrive_jobs, request)
        assert sorted(result.redriven, key=int) == request.job_ids
        assert [job_id for job_id in redriver.asked if redriver.asked.count(job_id) > 1] == ["12", "12"]

    async def test_jobs_hear_no_more_of_who_asked_than_was_proven(self) -> None:
        secret, environment = b"a secret that the API and the control worker share", ActivityEnvironment()
        asked = BulkRedrive(by="rita", via="api", address="10.0.0.1", role="admin", key_id="k")
        proven = asked.proven(secret, environment.info.workflow_id or "", 7).heard(7)
        heard = {"rita admin": proven.claim(), "rita None": asked.claim()}
        for words, claim in heard.items():
            redriver = Redriver()
            bodies = build(FakeJobStore(), redriver, Witness(secret))
            request = RedriveJobs(job_ids=["a"], claim=claim, **asked.who().model_dump())
            await environment.run(bodies.redrive_jobs, request)
            (command,) = redriver.commands
            assert f"{command.by} {command.role}" == words
            assert command.via == ("api" if command.role else "temporal")


class TestAwait:
    async def test_it_waits_until_all_have_ended_and_heartbeats(self) -> None:
        store = FakeJobStore(
            make_job("a", status=JobStatus.RUNNING), make_job("b", status=JobStatus.SUCCESS), parked("c", 1)
        )
        environment = ActivityEnvironment()
        looks: list[int] = []

        def on_heartbeat(still_open: int) -> None:
            looks.append(still_open)
            store.hold(make_job("a", status=JobStatus.FAILED))

        environment.on_heartbeat = on_heartbeat
        statuses = await environment.run(build(store).await_jobs, AwaitJobs(job_ids=["a", "b", "c", "c"]))
        assert statuses == {"a": JobStatus.FAILED, "b": JobStatus.SUCCESS, "c": JobStatus.DEAD_LETTERED}
        assert looks == [1, 0]

    async def test_cancellation_ends_the_wait(self) -> None:
        environment = ActivityEnvironment()
        environment.on_heartbeat = lambda *details: environment.cancel()
        waiting = environment.run(
            build(FakeJobStore(make_job("a", status=JobStatus.RUNNING))).await_jobs, AwaitJobs(job_ids=["a"])
        )
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 60)

    async def test_a_job_without_a_record_is_an_error_not_an_endless_wait(self) -> None:
        with pytest.raises(ApplicationError) as caught:
            await ActivityEnvironment().run(build(FakeJobStore()).await_jobs, AwaitJobs(job_ids=["gone"]))
        assert (caught.value.type, caught.value.non_retryable) == ("not_found", True)
