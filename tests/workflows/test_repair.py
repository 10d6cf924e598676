"""Workflows that really cannot go on, on a real server: found by the watch, let go on or ended by a repair.

They are broken as an upgrade can break them: a worker with other code has taken some of their tasks.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest, RespondActivityTaskCompletedRequest

from activities.clock import epoch_millis
from activities.repairs.watch import Watch
from tests.workflows.conftest import keep_history
from tests.workflows.deployment_harness import Deploys
from tests.workflows.harness import fail, succeed
from workflows.client.deployments import workflow_id_of
from workflows.client.jobs import JobClient
from workflows.client.repairs import RepairClient
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.commands import JobInput, Redrive
from workflows.contracts.deployments.commands import DeploymentInput
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import EnvironmentInput, HoldCommand, ReleaseCommand
from workflows.contracts.errors import InvalidState, Unavailable
from workflows.contracts.ids import environment_workflow_id, job_workflow_id, new_job_id, pool_queue, repair_workflow_id
from workflows.contracts.jobs import Job, JobSpec, RetryPolicy, Step
from workflows.contracts.repairs import Kind, Repair, RepairInput, RepairOutcome, Subject
from workflows.contracts.statuses import JobStatus, QueueStatus
from workflows.deployment.journal import Journal
from workflows.deployment.workflow import DeploymentWorkflow
from workflows.environment.workflow import EnvironmentWorkflow
from workflows.job.workflow import JobWorkflow
from workflows.repair.stuck import StuckWorkflows

ANN = "ann@example.com"


@workflow.defn(name="JobWorkflow", sandboxed=False)
class OtherJob(JobWorkflow):
    """Code of another version: a command more as the job is parked."""

    @workflow.init
    def __init__(self, start: JobInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: JobInput) -> Job:
        return await JobWorkflow.run(self, start)

    def _show(self) -> None:
        if self._job.status is JobStatus.DEAD_LETTERED:
            workflow.upsert_memo({"other": "code"})
        super()._show()


class OtherJournal(Journal):
    """Shows more than ours."""

    def _show(self) -> None:
        if self.state.deployment.waits_for is not None and "approval" in self.state.deployment.waits_for:
            workflow.upsert_memo({"other": "code"})
        super()._show()


@workflow.defn(name="DeploymentWorkflow", sandboxed=False)
class OtherDeployment(DeploymentWorkflow):
    """A command more whenever it shows how it stands."""

    @workflow.init
    def __init__(self, start: DeploymentInput) -> None:
        super().__init__(start)
        self.context.journal.__class__ = OtherJournal

    @workflow.run
    async def run(self, start: DeploymentInput) -> Deployment:
        return await DeploymentWorkflow.run(self, start)


@workflow.defn(name="EnvironmentWorkflow", sandboxed=False)
class OtherEnvironment(EnvironmentWorkflow):
    """A command more whenever it shows how it stands."""

    @workflow.init
    def __init__(self, start: EnvironmentInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: EnvironmentInput) -> None:
        await EnvironmentWorkflow.run(self, start)

    def _show(self) -> None:
        workflow.upsert_memo({"other": "code"})
        super()._show()


async def eventually(condition: Callable[[], Awaitable[bool]], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.1)


async def other_code(deploys: Deploys, *workflows: type) -> None:
    """The worker is another version's; without arguments, our own again."""
    await deploys.stop_worker()
    own = Deploys(deploys.client, deploys.stores).workflows
    changed = {each.__mro__[1].__name__: each for each in workflows}
    deploys.workflows = own | changed
    await deploys.start_worker()


async def submit(deploys: Deploys) -> str:
    job_id = new_job_id()
    deploys.script("test", fail())
    spec = JobSpec(
        job_type="test",
        git_repo="file:///srv/shop.git",
        git_commit_sha="a" * 40,
        git_author=ANN,
        pool=deploys.pool,
        steps=[Step(name="unit", run="pytest")],
        retry=RetryPolicy(max_attempts=1),
    )
    await JobClient(deploys.client).submit(JobInput(job_id=job_id, spec=spec))
    return job_id


async def until_job(deploys: Deploys, job_id: str, status: JobStatus) -> Job:
    async def is_so() -> bool:
        record = await deploys.stores.jobs.get(job_id)
        return record is not None and record.status is status

    await eventually(is_so, seconds=20, what=f"{job_id} being {status}")
    record = await deploys.stores.jobs.get(job_id)
    assert record is not None
    return record


def of_job(job_id: str) -> Subject:
    return Subject(kind=Kind.JOB, workflow_id=job_workflow_id(job_id), job_id=job_id)


def of_deployment(deployment: Deployment) -> Subject:
    return Subject(
        kind=Kind.DEPLOYMENT,
        workflow_id=workflow_id_of(deployment),
        deployment_id=deployment.deployment_id,
        service_name=deployment.service_name,
        version=deployment.version,
    )


def of_environment(deploys: Deploys, name: str = "production") -> Subject:
    return Subject(
        kind=Kind.ENVIRONMENT,
        workflow_id=environment_workflow_id(deploys.name, name),
        service_name=deploys.name,
        environment=name,
    )


def repair(subject: Subject, *, end: bool = False) -> RepairInput:
    return RepairInput(subject=subject, command=Repair(by=ANN, via="cli", role="operator", reason="a test", end=end))


async def trail(deploys: Deploys, action: str, workflow_id: str) -> list[AuditEvent]:
    page = await deploys.stores.events.list(EventQuery(action=action, limit=100))
    return [event for event in page.items if event.details["workflow_id"] == workflow_id]


async def until_stuck(deploys: Deploys, subject: Subject) -> None:
    stuck = StuckWorkflows(deploys.client)
    await eventually(lambda: stuck.is_stuck(subject), seconds=20, what=f"{subject} being stuck")


async def test_a_stuck_job_is_found_within_a_minute_and_goes_on_after_its_repair(
    deploys: Deploys, request: pytest.FixtureRequest
) -> None:
    await other_code(deploys, OtherJob)
    job_id = await submit(deploys)
    subject = of_job(job_id)
    parked = await until_job(deploys, job_id, JobStatus.DEAD_LETTERED)
    await other_code(deploys)
    watches = [
        Watch(StuckWorkflows(deploys.client), deploys.stores.events, epoch_millis, RepairClient(deploys.client).begin)
        for _ in range(2)
    ]
    for watch in watches:
        await watch.tick()
        assert subject.workflow_id not in watch.known
    began = time.monotonic()
    with pytest.raises((Unavailable, InvalidState)):
        await JobClient(deploys.client).redrive(job_id, Redrive(reason="wakes it"))

    async def all_know() -> bool:
        for watch in watches:
            await watch.tick()
        return all(subject.workflow_id in watch.known for watch in watches)

    await eventually(all_know, seconds=60, what="the watch finding it")
    print(f"found after {time.monotonic() - began:.1f} s")
    (told,) = await trail(deploys, "workflow.stuck", subject.workflow_id)  # once, by two watches
    assert (told.job_id, told.pool) == (job_id, deploys.pool)
    assert "NonDeterministic" in told.details["cause"]
    assert "TMPRL1100" in told.details["failure"]
    assert f"hybridci repair job {job_id}" in told.message
    assert [each.job_id for each in await RepairClient(deploys.client).stuck()].count(job_id) == 1

    old_server = StuckWorkflows(deploys.client, reported=False)

    async def found_by_its_attempts() -> bool:
        return job_id in [each.job_id for each in await old_server.find()]

    await eventually(found_by_its_attempts, seconds=20, what="finding it where the server does not report it")

    result = await RepairClient(deploys.client).repair(repair(subject))
    assert result is not None
    assert (result.outcome, result.resets) == (RepairOutcome.RESET, 1), result
    assert not await found_by_its_attempts()

    # A redrive that nobody could answer was refused and is not done later.
    assert len((await until_job(deploys, job_id, JobStatus.DEAD_LETTERED)).attempts) == 1
    deploys.script("test", succeed)
    await JobClient(deploys.client).redrive(job_id, Redrive())
    done = await until_job(deploys, job_id, JobStatus.SUCCESS)
    assert [each.number for each in done.attempts] == [1, 2]
    assert done.sequence > parked.sequence
    stats = await deploys.stores.jobs.queue_stats()
    assert (stats.dead_lettered, stats.depth, stats.running, stats.completed) == (0, 0, 0, 1)

    async def all_forget() -> bool:
        for watch in watches:
            await watch.tick()
        return all(subject.workflow_id not in watch.known for watch in watches)

    await eventually(all_forget, seconds=20, what="the watch seeing it recovered")
    assert len(await trail(deploys, "workflow.recovered", subject.workflow_id)) == 1
    (repaired,) = await trail(deploys, "workflow.repaired", subject.workflow_id)
    assert (repaired.by, repaired.via, repaired.reason, repaired.job_id) == (ANN, "cli", "a test", job_id)
    assert repaired.details["outcome"] == "reset"
    assert await RepairClient(deploys.client).repair(repair(subject)) == result  # sent again: its answer was lost
    with pytest.raises(InvalidState, match="not stuck"):
        await RepairClient(deploys.client).repair(repair(subject, end=True))
    await keep_history(request, deploys.client, repair_workflow_id(subject.workflow_id), "repair-reset")
    await keep_history(request, deploys.client, subject.workflow_id, "job-reset_by_a_repair-1")


async def test_a_sleeping_dead_letter_that_could_not_go_on_is_repaired_before_anybody_wakes_it(
    deploys: Deploys,
) -> None:
    await other_code(deploys, OtherJob)
    job_id = await submit(deploys)
    await until_job(deploys, job_id, JobStatus.DEAD_LETTERED)
    await other_code(deploys)
    result = await RepairClient(deploys.client).repair(repair(of_job(job_id)))
    assert result is not None
    assert result.outcome is RepairOutcome.RESET
    deploys.script("test", succeed)
    await JobClient(deploys.client).redrive(job_id, Redrive())
    await until_job(deploys, job_id, JobStatus.SUCCESS)


async def test_a_job_that_cannot_go_on_is_ended_when_somebody_says_so(
    deploys: Deploys, request: pytest.FixtureRequest
) -> None:
    """Two payloads stop the workflow's task in the SDK, before any code of ours."""
    deploys.pool = f"odd-{deploys.pool}"  # no agent but this one
    job_id = await submit(deploys)
    service, namespace = deploys.client.workflow_service, deploys.client.namespace
    queue = TaskQueue(name=pool_queue(deploys.pool))
    task = await service.poll_activity_task_queue(
        PollActivityTaskQueueRequest(namespace=namespace, task_queue=queue, identity="odd"),
        timeout=timedelta(seconds=20),
    )
    two = Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b"1")] * 2)
    await service.respond_activity_task_completed(
        RespondActivityTaskCompletedRequest(namespace=namespace, task_token=task.task_token, result=two)
    )
    subject = of_job(job_id)
    await until_stuck(deploys, subject)
    result = await RepairClient(deploys.client).repair(repair(subject, end=True))
    assert result is not None
    assert (result.outcome, result.resets) == (RepairOutcome.ENDED, 0)
    assert f"as {ANN} asked" in result.message
    record = await until_job(deploys, job_id, JobStatus.ERROR)
    assert (record.queue_status, record.cause) == (QueueStatus.FAILED, "repaired")
    assert ANN in (record.error_message or "")
    assert f"hybridci job retry {job_id}" in (record.error_message or "")
    stats = await deploys.stores.jobs.queue_stats()
    assert (stats.depth, stats.running, stats.failed) == (0, 0, 1)
    assert (await trail(deploys, "workflow.repaired", subject.workflow_id))[0].details["outcome"] == "ended"
    await keep_history(request, deploys.client, repair_workflow_id(subject.workflow_id), "repair-ended")


async def test_a_deployment_goes_on_after_its_repair(deploys: Deploys) -> None:
    await other_code(deploys, OtherDeployment)
    service = deploys.service(deploys.environment("staging"), deploys.environment(approval={"required": 1}))
    deployment = await deploys.start("1.0", service)
    await deploys.until_waits(deployment, "approval")
    await other_code(deploys)
    result = await RepairClient(deploys.client).repair(repair(of_deployment(deployment)))
    assert result is not None
    assert result.outcome is RepairOutcome.RESET, result
    await deploys.approve(deployment)
    await deploys.until_status(deployment, "live")
    assert deploys.kinds() == ["deploy staging 1.0", "deploy production 1.0"]  # nothing twice


async def test_a_deployment_that_is_ended_gives_its_place_back(deploys: Deploys) -> None:
    await other_code(deploys, OtherDeployment)
    service = deploys.service(deploys.environment("staging"), deploys.environment(approval={"required": 1}))
    deployment = await deploys.start("1.0", service)
    await deploys.until_waits(deployment, "approval")
    await other_code(deploys)
    await until_stuck(deploys, of_deployment(deployment))
    result = await RepairClient(deploys.client).repair(repair(of_deployment(deployment), end=True))
    assert result is not None
    assert result.outcome is RepairOutcome.ENDED
    record = await deploys.get(deployment)
    assert (record.status, record.cause, record.closed) == ("failed", "repaired", True)
    assert "a test" in (record.error_message or "")
    second = await deploys.start("1.1", service)
    await deploys.until_waits(second, "approval")
    await deploys.approve(second)
    await deploys.until_status(second, "live")


async def test_an_environment_goes_on_after_its_repair(deploys: Deploys) -> None:
    """All its tasks are another version's: it starts anew from its record, with what it was told meanwhile."""
    await other_code(deploys, OtherEnvironment)
    live = await deploys.live("1.0")
    await deploys.releases.command_environment(deploys.name, "production", HoldCommand(by=ANN, reason="wait"))
    await other_code(deploys)
    subject = of_environment(deploys)
    await until_stuck(deploys, subject)
    result = await RepairClient(deploys.client).repair(repair(subject))
    assert result is not None
    assert (result.outcome, result.resets) == (RepairOutcome.ENDED, 1), result
    assert (await deploys.until_environment(lambda found: found.live is not None)).hold is not None
    state = await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=ANN))
    assert state.hold is None
    assert state.live is not None
    assert state.live.deployment_id == live.deployment_id
    await until_stuck(deploys, of_environment(deploys, "staging"))
    await RepairClient(deploys.client).repair(repair(of_environment(deploys, "staging")))
    await deploys.live("1.1")  # through both of them


async def test_an_environment_that_is_ended_starts_anew_from_its_record(deploys: Deploys) -> None:
    await other_code(deploys, OtherEnvironment)
    live = await deploys.live("1.0")
    await other_code(deploys)
    subject = of_environment(deploys)
    await until_stuck(deploys, subject)
    result = await RepairClient(deploys.client).repair(repair(subject, end=True))
    assert result is not None
    assert result.outcome is RepairOutcome.ENDED
    state = await deploys.releases.command_environment(
        deploys.name, "production", HoldCommand(by=ANN, reason="it answers")
    )
    assert state.hold is not None
    state = await deploys.until_environment(lambda found: found.live is not None)
    assert state.live is not None
    assert state.live.deployment_id == live.deployment_id


async def test_what_goes_on_by_itself_is_not_repaired(deploys: Deploys) -> None:
    live = await deploys.live("1.0")
    for subject in (of_deployment(live), of_environment(deploys), of_job(new_job_id())):
        with pytest.raises(InvalidState, match="not stuck"):
            await RepairClient(deploys.client).repair(repair(subject))
