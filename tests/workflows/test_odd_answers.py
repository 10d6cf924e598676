"""An agent beside the gateway answers with what no workflow can read: the watch ends the attempt, the job goes on."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
)
from temporalio.client import Client

from activities.clock import epoch_millis
from activities.repairs.watch import Watch
from activities.settings import ApprovalSettings
from tests.workflows.conftest import keep_deployment_histories, keep_history
from tests.workflows.deployment_harness import Deploys
from tests.workflows.deployment_harness import deploys as started_deploys
from workflows.client.deployments import DeploymentClient
from workflows.client.jobs import JobClient
from workflows.client.proving import Prover
from workflows.client.repairs import RepairClient
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.commands import JobInput, Redrive
from workflows.contracts.ids import job_workflow_id, new_job_id, pool_queue, repair_workflow_id
from workflows.contracts.jobs import Job, JobSpec, RetryPolicy, Step
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus
from workflows.payloads.codec import CodecSettings, data_converter
from workflows.payloads.sealing import SealingCodec, new_key

PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b"1")


class OddAgent:
    """Takes an attempt of its pool and answers as it is told."""

    def __init__(self, client: Client, pool: str) -> None:
        self._client, self._queue = client, TaskQueue(name=pool_queue(pool))

    async def take(self) -> PollActivityTaskQueueResponse:
        request = PollActivityTaskQueueRequest(
            namespace=self._client.namespace, task_queue=self._queue, identity="odd-agent"
        )
        task = await self._client.workflow_service.poll_activity_task_queue(request, timeout=timedelta(seconds=30))
        assert task.task_token, "no attempt came"
        return task

    async def answer(self, task: PollActivityTaskQueueResponse, payloads: list[Payload]) -> None:
        await self._client.workflow_service.respond_activity_task_completed(
            RespondActivityTaskCompletedRequest(
                namespace=self._client.namespace, task_token=task.task_token, result=Payloads(payloads=payloads)
            )
        )

    async def fail(self, task: PollActivityTaskQueueResponse, failure: Failure) -> None:
        await self._client.workflow_service.respond_activity_task_failed(
            RespondActivityTaskFailedRequest(
                namespace=self._client.namespace, task_token=task.task_token, failure=failure, identity="odd-agent"
            )
        )

    async def succeed(self) -> None:
        task = await self.take()
        (attempt,) = await self._client.data_converter.decode(task.input.payloads, [AttemptInput])
        result = AttemptResult(
            attempt=attempt.attempt, agent_id="odd-agent", outcome=Outcome.SUCCEEDED, claimed_at=1, finished_at=2
        )
        await self.answer(task, await self._client.data_converter.encode([result]))


@pytest.fixture
async def deploys(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Deploys]:
    """As in production, where a job that a repair starts again is believed by its proof."""
    settings = ApprovalSettings(signing_key=SecretStr("a secret that the API and the control worker share"))
    async with started_deploys(temporal_client, settings) as started:
        yield started
        await keep_deployment_histories(request, started)


@asynccontextmanager
async def watching(deploys: Deploys) -> AsyncGenerator[None]:
    """As the control worker does it, ten times as often."""
    watch = Watch(
        RepairClient(deploys.client).workflows, deploys.stores.events, epoch_millis, RepairClient(deploys.client).begin
    )
    task = asyncio.create_task(watch.run(every=1))
    yield
    task.cancel()


async def submit(deploys: Deploys, pool: str) -> str:
    """A free job in a pool that no other agent works for; one spoiled attempt is one too many."""
    job_id = new_job_id()
    spec = JobSpec(
        job_type="test",
        git_repo="file:///srv/shop.git",
        git_commit_sha="a" * 40,
        git_author="ann@example.com",
        pool=pool,
        steps=[Step(name="unit", run="pytest")],
        retry=RetryPolicy(lost_agent_attempts=1),
    )
    await JobClient(deploys.client).submit(JobInput(job_id=job_id, spec=spec))
    return job_id


async def until(deploys: Deploys, job_id: str, status: JobStatus) -> Job:
    """Within a minute."""
    began = time.monotonic()
    async with asyncio.timeout(60):
        while (job := await deploys.stores.jobs.get(job_id)) is None or job.status is not status:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    print(f"{job_id} is {status} after {time.monotonic() - began:.1f} s")
    return job


async def repaired(deploys: Deploys, job_id: str) -> AuditEvent:
    """What the trail says of it; it is written last."""
    async with asyncio.timeout(20):
        while True:
            page = await deploys.stores.events.list(EventQuery(action="workflow.repaired", limit=100))
            if told := [event for event in page.items if event.job_id == job_id]:
                return told[0]
            await asyncio.sleep(0.1)


async def goes_on_as_a_dead_letter(deploys: Deploys, odd: list[Payload] | Failure, words: str) -> str:
    """What follows is what follows any attempt that its agent spoiled, and a redrive runs."""
    pool = f"odd-{uuid.uuid4().hex[:8]}-{deploys.pool}"
    job_id, agent = await submit(deploys, pool), OddAgent(deploys.client, pool)
    if isinstance(odd, Failure):
        await agent.fail(await agent.take(), odd)
    else:
        await agent.answer(await agent.take(), odd)
    async with watching(deploys):
        parked = await until(deploys, job_id, JobStatus.DEAD_LETTERED)
        told = await repaired(deploys, job_id)
    (attempt,) = parked.attempts
    assert (attempt.number, attempt.outcome, attempt.cause) == (1, Outcome.AGENT_ERROR, "agent_error")
    assert words in (attempt.message or "")
    assert told.by == "watch"
    assert words in told.message
    await JobClient(deploys.client).redrive(job_id, Redrive())
    await agent.succeed()
    done = await until(deploys, job_id, JobStatus.SUCCESS)
    assert [each.outcome for each in done.attempts] == [Outcome.AGENT_ERROR, Outcome.SUCCEEDED]
    assert done.queue_status is QueueStatus.COMPLETED
    return job_id


async def test_not_exactly_one_payload_ends_the_attempt(deploys: Deploys, request: pytest.FixtureRequest) -> None:
    counts = (0, 2, 300)
    answers = (goes_on_as_a_dead_letter(deploys, [PLAIN] * n, f"{n} payloads instead of one") for n in counts)
    _, job_id, _ = await asyncio.gather(*answers)
    stats = await deploys.stores.jobs.queue_stats()
    assert (stats.dead_lettered, stats.depth, stats.running, stats.completed) == (0, 0, 0, 3)
    await keep_history(request, deploys.client, job_workflow_id(job_id), "job-spoiled_by_an_odd_answer-1")
    await keep_history(request, deploys.client, repair_workflow_id(job_workflow_id(job_id)), "repair-odd_answer")


async def test_a_payload_sealed_with_nobodys_key_ends_the_attempt(deploys: Deploys, tmp_path: Path) -> None:
    await with_codec(deploys, tmp_path)
    (sealed,) = await SealingCodec([bytes(32)]).encode([PLAIN])
    await goes_on_as_a_dead_letter(deploys, [sealed], "sealed with a key that is not ours")


async def test_a_failure_that_nobody_can_read_ends_the_attempt(deploys: Deploys, tmp_path: Path) -> None:
    """What an agent says in an error is as much its own as an answer; also of one that is straight at Temporal."""
    await with_codec(deploys, tmp_path)
    info = ApplicationFailureInfo(type="x")
    garbage = Payload(metadata={"encoding": b"binary/hybridci-sealed"}, data=bytes(80))
    words = "a failure that was sealed with a key that is not ours"
    sealed = Failure(message="e", encoded_attributes=garbage, application_failure_info=info)
    details = Failure(message="e", application_failure_info=ApplicationFailureInfo(type="x"))
    details.application_failure_info.details.payloads.append(garbage)
    await asyncio.gather(
        goes_on_as_a_dead_letter(deploys, sealed, words),
        goes_on_as_a_dead_letter(deploys, details, words),
    )


async def with_codec(deploys: Deploys, folder: Path) -> None:
    """The worker and its client have a key."""
    await deploys.stop_worker()
    keys = folder / "keys"
    keys.write_text(new_key())
    config = deploys.client.config()
    config["data_converter"] = data_converter(CodecSettings(keys_file=keys))
    deploys.client = Client(**config)
    deploys.releases = DeploymentClient(deploys.client, Prover(deploys.approving.secret()))
    await deploys.start_worker()


async def test_a_failure_without_a_codec_that_cannot_be_read_ends_the_attempt(deploys: Deploys) -> None:
    failure = Failure(message="e", application_failure_info=ApplicationFailureInfo(type="x"))
    failure.application_failure_info.details.payloads.add(metadata={"encoding": b"json/plain"}, data=b"{")
    await goes_on_as_a_dead_letter(deploys, failure, "a failure that cannot be read")


async def test_a_production_job_fails_and_its_deployment_goes_on(deploys: Deploys) -> None:
    odd_pool = f"odd-{deploys.pool}"
    service = deploys.service(deploys.environment("staging"), deploys.environment(pool=odd_pool))
    deployment = await deploys.start("1.0", service)
    agent = OddAgent(deploys.client, odd_pool)
    await agent.answer(await agent.take(), [])
    async with watching(deploys):
        record = await deploys.until_status(deployment, "failed", seconds=60)
    (job_id,) = next(stage.job_ids for stage in record.stages if stage.environment == "production")
    job = await until(deploys, job_id, JobStatus.ERROR)
    assert (job.queue_status, job.cause) == (QueueStatus.FAILED, "agent_error")
    assert "0 payloads instead of one" in (job.error_message or "")
    assert job_id in (record.error_message or "")
    await deploys.until_environment(lambda state: state.holder is None)
