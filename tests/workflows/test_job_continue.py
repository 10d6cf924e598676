"""A redriven job goes on as a new run when its history has grown long: nothing is lost on the way."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.workflows.conftest import keep_history
from tests.workflows.harness import Harness, fail, harness, one_after_another, succeed
from tests.workflows.own_servers import renewing_server
from workflows.contracts.commands import Cancel, Edit, JobInput, Redrive
from workflows.contracts.ids import CONTROL_QUEUE, job_workflow_id
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus
from workflows.job.workflow import JobWorkflow


@pytest.fixture(scope="module")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A server that suggests to continue as new after ten events instead of 4,096."""
    async with renewing_server(tmp_path_factory.mktemp("temporal"), after_events=10) as client:
        yield client


@pytest.fixture
async def jobs(impatient: Client) -> AsyncIterator[Harness]:
    async with harness(impatient) as started:
        yield started


async def _parked(jobs: Harness) -> str:
    """A dead letter's id. Its workflow tasks are short, so that long writes let new commands in."""
    start = JobInput(job_id=str(uuid.uuid4()), spec=jobs.spec(retry={"max_attempts": 1}))
    await jobs.client.start_workflow(
        JobWorkflow.run,
        start,
        id=job_workflow_id(start.job_id),
        task_queue=CONTROL_QUEUE,
        task_timeout=timedelta(seconds=3),
    )
    await jobs.until(start.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
    return start.job_id


async def test_the_new_run_has_all_the_old_one_knew(jobs: Harness, request: pytest.FixtureRequest) -> None:
    async with jobs.agent(one_after_another(fail(4), succeed)) as agent:
        job_id = await _parked(jobs)
        first = (await jobs.handle(job_id).describe()).run_id
        await jobs.job_client.edit(job_id, Edit(env={"A": "1"}))
        await jobs.job_client.redrive(job_id, Redrive())
        done = await jobs.result(job_id)
    last = (await jobs.handle(job_id).describe()).run_id
    assert last != first
    for number, run_id in enumerate((first, last), start=1):
        await keep_history(request, jobs.client, job_workflow_id(job_id), f"job-continued_as_new-{number}", run_id)
    assert (done.status, [attempt.number for attempt in done.attempts]) == (JobStatus.SUCCESS, [1, 2])
    assert agent.inputs[-1].env == {"A": "1"}
    assert jobs.recorder.last(job_id) == done
    assert done.created_at == jobs.recorder.writes[job_id][0].job.created_at


async def test_a_cancellation_on_the_way_to_the_new_run_is_heeded(jobs: Harness) -> None:
    answers: list[asyncio.Task[Job]] = []

    async def cancel_meanwhile(write: JobWrite) -> bool:
        if write.previous is not QueueStatus.DEAD_LETTERED or write.job.status is not JobStatus.QUEUED:
            return False
        answers.append(asyncio.create_task(jobs.job_client.cancel(write.job.job_id, Cancel(by="ann"))))
        await _until_accepted(jobs, write.job.job_id, 2)  # the redrive and the cancellation
        return True

    jobs.recorder.after_next = cancel_meanwhile
    async with jobs.agent(fail(4)):
        job_id = await _parked(jobs)
        await jobs.job_client.redrive(job_id, Redrive())
        done = await jobs.result(job_id)
    assert (done.status, done.error_message) == (JobStatus.CANCELLED, "Cancelled by ann.")
    assert [await answer for answer in answers] == [done]
    assert jobs.recorder.last(job_id) == done


async def _until_accepted(jobs: Harness, job_id: str, count: int) -> None:
    """Wait until the workflow has taken in so many updates."""
    accepted, seen = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED, 0
    async for event in jobs.handle(job_id).fetch_history_events(wait_new_event=True):
        seen += event.event_type == accepted
        if seen == count:
            return
