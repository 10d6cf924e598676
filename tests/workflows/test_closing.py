"""How Temporal shows what came to nothing: Failed or Cancelled, each with the record, and never tried again."""

import asyncio
import time

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError

from activities.jobs.temporal import TemporalJobWorkflows
from api.dashboard.temporal_views import temporal_views
from tests.workflows.deployment_harness import BOB, Deploys
from tests.workflows.harness import Harness, fail, succeed, until_cancelled
from workflows.client.known import stated
from workflows.contracts import search_attributes as attributes
from workflows.contracts.commands import Cancel, Discard
from workflows.contracts.deployments.commands import Approve, CancelDeployment, Reject, RollbackCommand
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.ids import job_workflow_id
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus, Outcome

FINAL = {"final_exit_codes": [2]}


async def test_a_failed_job_closes_as_failed_with_its_record(jobs: Harness) -> None:
    async with jobs.agent(fail(2)):
        job = await jobs.submit(jobs.spec(retry=FINAL))
        ended = await jobs.result(job.job_id)
    assert (ended.status, ended) == (JobStatus.FAILED, jobs.recorder.last(job.job_id))
    failure = await _failure(jobs, job)
    assert isinstance(failure, ApplicationError)
    assert (failure.type, failure.non_retryable) == (ended.cause, True)
    assert failure.message == f"failed: {ended.error_message}"
    assert failure.failure is not None
    assert failure.failure.stack_trace == "", "our modules say nothing about the job"
    assert await _status(jobs, job) is WorkflowExecutionStatus.FAILED


async def test_a_job_that_ran_too_long_closes_as_failed(jobs: Harness) -> None:
    async with jobs.agent(fail(outcome=Outcome.TIMED_OUT)):
        job = await jobs.submit(jobs.spec(retry={"park": False}))
        assert (await jobs.result(job.job_id)).status is JobStatus.TIMEOUT
    assert await _status(jobs, job) is WorkflowExecutionStatus.FAILED


async def test_a_dead_letter_stays_open_and_closes_as_failed_once_it_is_given_up(jobs: Harness) -> None:
    async with jobs.agent(fail(1)):
        job = await jobs.submit(jobs.spec(retry={"max_attempts": 1}))
        await jobs.until(job.job_id, lambda each: each.status is JobStatus.DEAD_LETTERED)
    assert await _status(jobs, job) is WorkflowExecutionStatus.RUNNING
    await jobs.job_client.discard(job.job_id, Discard(by="ann", reason="given up"))
    assert (await jobs.result(job.job_id)).status is JobStatus.FAILED
    assert await _status(jobs, job) is WorkflowExecutionStatus.FAILED


@pytest.mark.parametrize("how", ["command", "temporal", "while_it_runs"])
async def test_a_cancelled_job_closes_as_cancelled_with_its_record(jobs: Harness, how: str) -> None:
    if how == "while_it_runs":
        async with jobs.agent(until_cancelled):
            job = await jobs.submit()
            await jobs.until(job.job_id, lambda each: each.status is JobStatus.RUNNING)
            await jobs.job_client.cancel(job.job_id, Cancel(by="ann"))
            ended = await jobs.result(job.job_id)
    else:
        job = await jobs.submit()
        if how == "command":
            await jobs.job_client.cancel(job.job_id, Cancel(by="ann"))
        else:
            await jobs.handle(job.job_id).cancel()
        ended = await jobs.result(job.job_id)
    assert (ended.status, ended) == (JobStatus.CANCELLED, jobs.recorder.last(job.job_id))
    assert isinstance(await _failure(jobs, job), CancelledError)
    assert await _status(jobs, job) is WorkflowExecutionStatus.CANCELED


async def test_a_job_that_succeeds_closes_as_completed(jobs: Harness) -> None:
    async with jobs.agent(succeed):
        job = await jobs.submit()
        assert await jobs.handle(job.job_id).result() == await jobs.result(job.job_id)
    assert await _status(jobs, job) is WorkflowExecutionStatus.COMPLETED


async def test_whoever_repairs_or_submits_again_takes_every_shape(jobs: Harness) -> None:
    async with jobs.agent(fail(2)):
        failed = await jobs.submit(jobs.spec(retry=FINAL))
        ended = await jobs.result(failed.job_id)
    cancelled = await jobs.submit()
    stopped = await jobs.job_client.cancel(cancelled.job_id, Cancel(by="ann"))
    await jobs.result(cancelled.job_id)
    workflows = TemporalJobWorkflows(jobs.client)
    for record in (ended, stopped):
        closed = await workflows.closed(record.job_id)
        assert closed is not None
        assert closed.result is not None
        assert closed.result.status is record.status
        assert await stated(jobs.handle(record.job_id), Job, ended=True) == closed.result
        assert await stated(jobs.handle(record.job_id), Job, ended=False) is None
        assert (await jobs.job_client.created(record.job_id)).status is record.status
    gone = await jobs.submit()
    await jobs.handle(gone.job_id).terminate("by hand")
    ended_by_hand = await workflows.closed(gone.job_id)
    assert ended_by_hand is not None
    assert (ended_by_hand.how, ended_by_hand.result) == ("terminated", None)
    assert await stated(jobs.handle(gone.job_id), Job, ended=True) is None


async def test_a_deployment_whose_job_failed_says_why_and_closes_as_failed(deploys: Deploys) -> None:
    deploys.script("deploy staging", fail(3))
    one = await deploys.start("1.0")
    failed = await deploys.until_status(one, "failed")
    assert "exit code 3" in (failed.error_message or ""), "the job's own words, from its failure"
    assert await deploys.result(one) == failed
    assert (await deploys.handle(one).describe()).status is WorkflowExecutionStatus.FAILED
    with pytest.raises(WorkflowFailureError) as raised:
        await deploys.handle(one).result()
    assert isinstance(raised.value.cause, ApplicationError)
    assert raised.value.cause.type == failed.cause


async def test_a_deployments_cancelled_job_is_told_in_its_words(deploys: Deploys) -> None:
    deploys.script("deploy staging", until_cancelled)
    one = await deploys.start("1.0")
    begun = await deploys.until(one, lambda found: bool(found.stages[0].job_ids))
    job_id = begun.stages[0].job_ids[0]
    job = deploys.client.get_workflow_handle(f"job-{job_id}")
    await job.cancel()  # as from the Temporal UI: the API refuses what would go past the deployment
    failed = await deploys.until_status(one, "failed")
    assert f"job {job_id} is cancelled: Cancelled in Temporal." in (failed.error_message or "")
    assert (await job.describe()).status is WorkflowExecutionStatus.CANCELED


async def test_a_rolled_back_deployment_closes_as_failed(deploys: Deploys) -> None:
    await deploys.live("1.0")
    two = await deploys.live("1.1")
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="slow"))
    back = await deploys.until_status(two, "rolled_back")
    assert await deploys.result(two) == back
    assert (await deploys.handle(two).describe()).status is WorkflowExecutionStatus.FAILED


async def test_a_cancelled_deployment_closes_as_cancelled_and_a_rejected_one_as_failed(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(approval={"required": 1}))
    one, two = await deploys.start("1.0", service), await deploys.start("1.1", service)
    for each in (one, two):
        await deploys.until_waits(each, "waits for approval")
    await deploys.releases.command(one, CancelDeployment(by=BOB, reason="not today"))
    await deploys.releases.command(two, Reject(by=BOB, reason="no"))
    assert (await deploys.result(one)).cause == "cancelled"
    assert (await deploys.handle(one).describe()).status is WorkflowExecutionStatus.CANCELED
    assert (await deploys.result(two)).status == "failed"
    assert (await deploys.handle(two).describe()).status is WorkflowExecutionStatus.FAILED


async def _failure(jobs: Harness, job: Job) -> BaseException | None:
    with pytest.raises(WorkflowFailureError) as raised:
        await jobs.handle(job.job_id).result()
    return raised.value.cause


async def _status(jobs: Harness, job: Job) -> WorkflowExecutionStatus | None:
    return (await jobs.handle(job.job_id).describe()).status


async def test_lists_show_what_waits_for_a_yes(deploys: Deploys) -> None:
    one = await deploys.start("1.0", deploys.service(deploys.environment(approval={"required": 1})))
    await deploys.until_waits(one, "waits for approval")
    assert await _shown(deploys, one, attributes.WAITS_FOR_APPROVAL)
    await deploys.releases.command(one, Approve(by=BOB))
    live = await deploys.until_status(one, "live")
    assert await _shown(deploys, live, "live")


async def _shown(deploys: Deploys, deployment: Deployment, status: str) -> bool:
    """It follows the record."""
    for _ in range(1000):
        found = (await deploys.handle(deployment).describe()).typed_search_attributes
        if found.get(attributes.STATUS) == status:
            return True
        await deploys.pause()
    return False


async def test_the_dashboards_lists_find_each_in_its_place(jobs: Harness) -> None:
    queries = {view.name: view.query for view in temporal_views(None, time.time_ns() // 1_000_000)}
    async with jobs.agent(fail(1)):
        dead = await jobs.submit(jobs.spec(retry={"max_attempts": 1}))
        await jobs.until(dead.job_id, lambda each: each.status is JobStatus.DEAD_LETTERED)
        failed = await jobs.submit(jobs.spec(retry={"max_attempts": 1, "park": False}))
        await jobs.result(failed.job_id)
    async with jobs.agent(until_cancelled):
        running = await jobs.submit()
        await jobs.until(running.job_id, lambda each: each.status is JobStatus.RUNNING)
        wanted = {"Dead letters": dead, "Failed today": failed, "Running jobs": running}
        for name, query in queries.items():
            job = wanted.get(name)
            assert await _lists_only(jobs, query, job), (name, query)
        await jobs.job_client.cancel(running.job_id, Cancel(by="ann"))
        await jobs.result(running.job_id)


async def _lists_only(jobs: Harness, query: str, job: Job | None) -> bool:
    """Of this test's jobs; visibility follows."""
    wanted = set[str]() if job is None else {job_workflow_id(job.job_id)}
    for _ in range(200):
        found = {each.id async for each in jobs.client.list_workflows(query)}
        if found & {job_workflow_id(each) for each in jobs.started} == wanted:
            return True
        await asyncio.sleep(0.05)
    return False
