"""Whoever accepts a job creates its record after the start; should it die between the two, the workflow sees to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from activities.bootstrap import build_activities
from activities.chains.job_creation import JobCreator
from activities.stores.interfaces import WriteOutcome
from activities.stores.open import Stores, open_memory_stores
from tests.stores.trails import trail
from tests.workflows.conftest import keep_job_histories
from tests.workflows.harness import Harness, Recorder, succeed
from workflows import job_record as record
from workflows.contracts.commands import Amend, JobInput
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, Priority
from workflows.job import JobWorkflow

ACCEPTED_AT = time.time_ns() // 1_000_000


class Accepted(Harness):
    """Jobs on the real chains and a store in memory."""

    def __init__(self, client: Client, stores: Stores) -> None:
        super().__init__(client, Recorder(), f"accepted-{time.time_ns()}")
        self.stores = stores

    async def begin(self) -> JobInput:
        """Start one, and die before its record is created."""
        start = self.input(created_by="ci", accepted_at=ACCEPTED_AT)
        assert await self.orchestrator.start(start)
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
        ["job.submitted"],
    )


async def test_a_job_whose_starter_died_is_recorded_by_what_happens_first(accepted: Accepted) -> None:
    start = await accepted.begin()
    async with accepted.agent(succeed):
        done = await accepted.result(start.job_id)
    assert done == await accepted.stores.jobs.get(start.job_id)
    assert await accepted.create(start) is WriteOutcome.STALE, "a starter that was only slow changes nothing"
    assert await accepted.actions() == ["job.submitted"]
    stats = await accepted.stores.jobs.queue_stats()
    assert (stats.depth, stats.running, stats.completed) == (0, 0, 1)


async def test_a_change_before_the_record_exists_is_kept_with_its_creation(accepted: Accepted) -> None:
    start = await accepted.begin()
    await accepted.orchestrator.amend(start.job_id, Amend(priority=Priority.HIGH, by="ann"))
    assert (await accepted.recorded(start.job_id)).priority is Priority.HIGH
    assert await accepted.create(start) is WriteOutcome.STALE
    assert await accepted.actions() == ["job.submitted", "job.amended"]


@pytest.mark.parametrize("who", ["a client without an answer", "an agent with a log"])
async def test_who_asks_for_the_record_has_it_created(accepted: Accepted, who: str) -> None:
    start = await accepted.begin()
    assert await accepted.orchestrator.start(start) is False
    orchestrator = accepted.orchestrator
    answered = await (orchestrator.submit(start) if "client" in who else orchestrator.created(start.job_id))
    assert answered == await accepted.stores.jobs.get(start.job_id)
    assert await accepted.create(start) is WriteOutcome.STALE
    assert await accepted.actions() == ["job.submitted"]


async def test_a_job_that_waits_unrecorded_is_recorded_after_a_while(
    accepted: Accepted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.recorded_job._CREATED_WITHIN", timedelta(seconds=0.5))
    start = await accepted.begin()
    job = await accepted.recorded(start.job_id)
    assert (job.status, job.created_at) == (JobStatus.QUEUED, ACCEPTED_AT)
    assert await accepted.create(start) is WriteOutcome.STALE
    assert await accepted.actions() == ["job.submitted"]


async def test_a_recorded_job_that_waits_is_counted_once(accepted: Accepted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.recorded_job._CREATED_WITHIN", timedelta(seconds=0.5))
    start = await accepted.begin()
    await accepted.create(start)
    await accepted.recorded(start.job_id, lambda job: job.sequence > 1)
    assert await accepted.actions() == ["job.submitted"]
    assert (await accepted.stores.jobs.queue_stats()).depth == 1
