"""Days of waiting on the time-skipping server: retention of dead letters, long backoffs, bulk redrives."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from tests.workflows.harness import Harness, fail, harness, one_after_another, succeed
from tests.workflows.own_servers import skipping_server
from workflows.client.answers import record_at_end
from workflows.contracts.commands import JobInput, Redrive
from workflows.contracts.ids import CONTROL_QUEUE, job_workflow_id
from workflows.contracts.jobs import Job, JobSpec
from workflows.contracts.statuses import JobStatus
from workflows.job.workflow import JobWorkflow

DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with skipping_server() as environment:
        yield environment


@pytest.fixture
async def jobs(skipping: WorkflowEnvironment) -> AsyncIterator[Harness]:
    async with harness(skipping.client) as started:
        yield started


async def _start(client: Client, spec: JobSpec) -> WorkflowHandle[JobWorkflow, Job]:
    """A plain start: the time-skipping server has no update-with-start."""
    job_id = str(uuid.uuid4())
    start = JobInput(job_id=job_id, spec=spec)
    return await client.start_workflow(JobWorkflow.run, start, id=job_workflow_id(job_id), task_queue=CONTROL_QUEUE)


async def test_an_abandoned_dead_letter_ends_after_its_retention(jobs: Harness) -> None:
    async with jobs.agent(fail(4)):
        handle = await _start(jobs.client, jobs.spec(retry={"max_attempts": 1}))
        job = await record_at_end(handle, Job)
    assert job is not None
    assert job.status is JobStatus.FAILED
    assert job.completed_at is not None
    assert job.queued_at is not None
    assert job.completed_at - job.queued_at >= 14 * DAY_MS
    assert "Nobody redrove it" in (job.error_message or "")


async def test_a_dead_letter_can_be_redriven_days_later(jobs: Harness, skipping: WorkflowEnvironment) -> None:
    async with jobs.agent(one_after_another(fail(4), succeed)):
        handle = await _start(jobs.client, jobs.spec(retry={"max_attempts": 1}))
        await jobs.until(handle.id.removeprefix("job-"), lambda job: job.status is JobStatus.DEAD_LETTERED)
        await skipping.sleep(timedelta(days=13))
        await jobs.job_client.redrive(handle.id.removeprefix("job-"), Redrive())
        assert (await handle.result()).status is JobStatus.SUCCESS


async def test_backoff_doubles_up_to_its_limit(jobs: Harness) -> None:
    retry = {
        "max_attempts": 5,
        "initial_interval_seconds": 100,
        "backoff": 3,
        "max_interval_seconds": 500,
        "park": False,
    }
    async with jobs.agent(fail(1)):
        job = await record_at_end(await _start(jobs.client, jobs.spec(retry=retry)), Job)
    assert job is not None
    queued = [attempt.queued_at for attempt in job.attempts]
    pauses = [round((later - earlier) / 1000) for earlier, later in pairwise(queued)]
    assert len(pauses) == 4
    assert all(abs(pause - wanted) <= 5 for pause, wanted in zip(pauses, [100, 300, 500, 500], strict=True)), pauses
