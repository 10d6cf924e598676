"""Whoever accepts a job creates its record after the start; should it die between the two, the workflow sees to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from activities.bootstrap import build_activities
from activities.clock import epoch_millis
from activities.jobs.readers import JobReader
from activities.jobs.reconcile import Reconciler
from activities.jobs.temporal import TemporalJobWorkflows
from activities.jobs.writers import JobCreator, JobWriter
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.open import Stores, open_memory_stores
from tests.stores.trails import trail
from tests.workflows.conftest import keep_job_histories
from tests.workflows.harness import Harness, Recorder, succeed
from workflows.contracts.commands import Amend, Cancel, JobInput, ReconcileResult
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, Priority
from workflows.job import record
from workflows.job.workflow import JobWorkflow

ACCEPTED_AT = time.time_ns() // 1_000_000


class OwnWorkflows(TemporalJobWorkflows):
    """Those of this test: other tests have jobs on the same server."""

    def __init__(self, client: Client, job_ids: set[str]) -> None:
        super().__init__(client)
        self._job_ids = job_ids

    async def open_job_ids(self) -> set[str]:
        return await super().open_job_ids() & self._job_ids


class Accepted(Harness):
    """Jobs on the real chains and a store in memory."""

    def __init__(self, client: Client, stores: Stores) -> None:
        super().__init__(client, Recorder(), f"accepted-{time.time_ns()}")
        self.stores = stores

    async def begin(self, **fields: object) -> JobInput:
        """Start one, and die before its record is created."""
        start = self.input(self.spec(**fields), created_by="ci")
        assert await self.job_client.start(start, ACCEPTED_AT) == creation(start)
        return start

    async def create(self, start: JobInput) -> WriteOutcome:
        return await JobCreator(self.stores.jobs, self.stores.agents).create(creation(start))

    async def recorded(self, job_id: str, condition: Callable[[Job], bool] = lambda job: True) -> Job:
        for _ in range(1500):
            job = await self.stores.jobs.get(job_id)
            if job is not None and condition(job):
                return job
            await asyncio.sleep(0.02)
        raise AssertionError(f"never so: {await self.stores.jobs.get(job_id)}")

    async def reconcile(self) -> ReconcileResult:
        reader, writer = JobReader(self.stores.jobs), JobWriter(self.stores.jobs, self.stores.agents)
        own = OwnWorkflows(self.client, set(self.started))
        return await Reconciler(reader, writer, own, epoch_millis).run(lambda checked: None)

    async def actions(self) -> list[str]:
        return [event.action for event in await trail(self.stores.events)][::-1]


def creation(start: JobInput) -> JobWrite:
    return record.creation(start, ACCEPTED_AT)


@pytest.fixture
async def accepted(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Accepted]:
    stores = open_memory_stores()
    activities = build_activities(stores, temporal_client).all()
    async with Worker(temporal_client, task_queue=CONTROL_QUEUE, workflows=[JobWorkflow], activities=activities):
        harness = Accepted(temporal_client, stores)
        yield harness
        await keep_job_histories(request, harness)


async def test_the_starters_record_is_the_workflows(accepted: Accepted) -> None:
    start = await accepted.begin()
    assert await accepted.create(start) is WriteOutcome.APPLIED
    state = await accepted.handle(start.job_id).query(JobWorkflow.state)
    assert state == creation(start).job == await accepted.stores.jobs.get(start.job_id)
    async with accepted.agent(succeed):
        done = await accepted.result(start.job_id)
    assert done == await accepted.stores.jobs.get(start.job_id)
    assert (done.status, done.created_at, await accepted.actions()) == (
        JobStatus.SUCCESS,
        ACCEPTED_AT,
        ["job.submitted", "job.succeeded"],
    )


async def test_a_job_whose_starter_died_is_recorded_by_what_happens_first(accepted: Accepted) -> None:
    start = await accepted.begin()
    async with accepted.agent(succeed):
        done = await accepted.result(start.job_id)
    assert done == await accepted.stores.jobs.get(start.job_id)
    assert await accepted.create(start) is WriteOutcome.STALE, "a starter that was only slow changes nothing"
    assert await accepted.actions() == ["job.submitted", "job.succeeded"]
    stats = await accepted.stores.jobs.queue_stats()
    assert (stats.depth, stats.running, stats.completed) == (0, 0, 1)


async def test_a_change_before_the_record_exists_is_kept_with_its_creation(accepted: Accepted) -> None:
    start = await accepted.begin()
    await accepted.job_client.amend(start.job_id, Amend(priority=Priority.HIGH, by="ann"))
    assert (await accepted.recorded(start.job_id)).priority is Priority.HIGH
    assert await accepted.create(start) is WriteOutcome.STALE
    assert await accepted.actions() == ["job.submitted", "job.amended"]


@pytest.mark.parametrize("who", ["a client without an answer", "an agent with a log"])
async def test_who_asks_for_the_record_has_it_created(accepted: Accepted, who: str) -> None:
    start = await accepted.begin()
    assert await accepted.job_client.start(start, ACCEPTED_AT) is None
    job_client = accepted.job_client
    answered = await (job_client.submit(start) if "client" in who else job_client.created(start.job_id))
    assert answered == await accepted.stores.jobs.get(start.job_id)
    assert await accepted.create(start) is WriteOutcome.STALE
    assert await accepted.actions() == ["job.submitted"]


async def test_a_job_that_waits_unrecorded_is_recorded_by_the_reconciliation(accepted: Accepted) -> None:
    start = await accepted.begin(requires=["gpu=*"])
    created = list[str]()
    while not created:  # what has just begun is not yet listed
        created = (await accepted.reconcile()).created
    assert created == [start.job_id]
    job = await accepted.recorded(start.job_id)
    assert (job.status, job.created_at) == (JobStatus.QUEUED, ACCEPTED_AT)
    assert [found.requires for found in await accepted.stores.agents.demands(accepted.pool)] == [["gpu=*"]]
    assert (await accepted.reconcile()).created == []
    assert await accepted.create(start) is WriteOutcome.STALE
    assert await accepted.actions() == ["job.submitted"]


async def test_a_job_can_be_cancelled_before_it_is_recorded(accepted: Accepted) -> None:
    start = await accepted.begin()
    await accepted.job_client.cancel(start.job_id, Cancel(by="ann"))
    assert (await accepted.recorded(start.job_id)).status is JobStatus.CANCELLED
    assert await accepted.create(start) is WriteOutcome.STALE
    first, *others = await accepted.actions()
    assert (first, sorted(others)) == ("job.submitted", ["job.cancelled", "job.stopped"]), "two are of one millisecond"


async def test_a_worker_that_does_not_know_of_it_is_not_told_of_no_acceptance(accepted: Accepted) -> None:
    start = JobInput(job_id="j", spec=accepted.spec())
    assert "accepted_at" not in start.model_dump_json()
    assert start.model_copy(update={"accepted_at": 7}).model_dump()["accepted_at"] == 7
    assert JobInput.model_validate({**start.model_dump(), "of_another_version": 1}) == start
