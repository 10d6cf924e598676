"""Bulk redrives and reconciliation as workflows, with scripted activities in place of the control worker's."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from tests.workflows.conftest import keep_history
from workflows.client.jobs import JobClient
from workflows.contracts.commands import BulkRedrive, BulkRedriveProgress, Canary, ReconcileResult
from workflows.contracts.ids import CONTROL_QUEUE, redrive_workflow_id
from workflows.contracts.records import AwaitJobs, RedriveJobs, RedriveJobsResult, SelectDeadLetters
from workflows.contracts.statuses import JobStatus
from workflows.job.redrive import RedriveWorkflow
from workflows.repair.reconcile import ReconcileWorkflow


@dataclass
class Control:
    """Stands for the control worker's activities."""

    client: Client
    parked: list[str] = field(default_factory=lambda: [f"job-{number}" for number in range(5)])
    canaries: JobStatus = JobStatus.SUCCESS
    unwatchable: bool = False
    of_deployments: list[str] = field(default_factory=list[str])
    requests: list[RedriveJobs] = field(default_factory=list[RedriveJobs])

    @activity.defn(name="select_dead_letters")
    async def select(self, request: SelectDeadLetters) -> list[str]:
        return self.parked[: request.limit]

    @activity.defn(name="redrive_jobs")
    async def redrive(self, request: RedriveJobs) -> RedriveJobsResult:
        self.requests.append(request)
        return RedriveJobsResult(
            redriven=[each for each in request.job_ids if each not in self.of_deployments],
            refused={each: "of a deployment" for each in request.job_ids if each in self.of_deployments},
            of_deployments=sum(each in self.of_deployments for each in request.job_ids),
        )

    @activity.defn(name="await_jobs")
    async def wait(self, request: AwaitJobs) -> dict[str, JobStatus]:
        if self.unwatchable:
            raise ApplicationError("no record", type="not_found", non_retryable=True)
        return dict.fromkeys(request.job_ids, self.canaries)

    @activity.defn(name="reconcile_jobs")
    async def reconcile(self) -> ReconcileResult:
        return ReconcileResult(checked=3, closed=["job-1"])

    @activity.defn(name="reconcile_deployments")
    async def reconcile_deployments(self) -> ReconcileResult:
        return ReconcileResult(checked=2, closed=["deployment-1"])

    async def run(self, request: BulkRedrive) -> BulkRedriveProgress:
        redrive_id = str(uuid.uuid4())
        await JobClient(self.client).start_bulk_redrive(redrive_id, request, fingerprint="f")
        handle = self.client.get_workflow_handle_for(RedriveWorkflow.run, redrive_workflow_id(redrive_id))
        return await handle.result()


@pytest.fixture
async def control(temporal_client: Client) -> AsyncIterator[Control]:
    control = Control(temporal_client)
    async with Worker(
        temporal_client,
        task_queue=CONTROL_QUEUE,
        workflows=[RedriveWorkflow, ReconcileWorkflow],
        activities=[control.select, control.redrive, control.wait, control.reconcile, control.reconcile_deployments],
    ):
        yield control


async def test_all_at_once(control: Control, request: pytest.FixtureRequest) -> None:
    progress = await control.run(BulkRedrive())
    assert (progress.state, progress.redriven, progress.fingerprint) == ("finished", control.parked, "f")
    assert [sent.redrive_id for sent in control.requests] == [progress.redrive_id]
    await keep_history(request, control.client, redrive_workflow_id(progress.redrive_id), "redrive-all")


async def test_it_says_how_many_it_has_left_to_their_deployments(control: Control) -> None:
    control.of_deployments = ["job-0", "job-3"]
    progress = await control.run(BulkRedrive(canary=Canary(count=2)))
    assert (progress.redriven, list(progress.refused)) == (["job-1", "job-2", "job-4"], ["job-0", "job-3"])
    assert progress.message == (
        "3 of 5 dead letters were redriven, 2 refused, 2 of these because they belong to deployments, which alone move "
        "their jobs"
    )


async def test_canary_first(control: Control, request: pytest.FixtureRequest) -> None:
    progress = await control.run(BulkRedrive(canary=Canary(count=2)))
    assert [sent.job_ids for sent in control.requests] == [control.parked[:2], control.parked[2:]]
    assert (progress.state, list(progress.canaries)) == ("finished", control.parked[:2])
    await keep_history(request, control.client, redrive_workflow_id(progress.redrive_id), "redrive-canary")


async def test_a_failing_canary_stops_the_rest(control: Control, request: pytest.FixtureRequest) -> None:
    control.canaries = JobStatus.DEAD_LETTERED
    progress = await control.run(BulkRedrive(canary=Canary(count=1)))
    assert (progress.state, progress.redriven) == ("stopped", control.parked[:1])
    assert "1 of 1 canaries did not succeed" in progress.message
    await keep_history(request, control.client, redrive_workflow_id(progress.redrive_id), "redrive-stopped")


async def test_an_unwatchable_canary_says_why(control: Control) -> None:
    control.unwatchable = True
    progress = await control.run(BulkRedrive(canary=Canary(count=1)))
    assert (progress.state, len(control.requests)) == ("stopped", 1)
    assert "could not be watched" in progress.message


async def test_reconcile(control: Control, request: pytest.FixtureRequest) -> None:
    result = await JobClient(control.client).reconcile()
    assert (result.checked, result.closed) == (5, ["job-1", "deployment-1"])
    await keep_history(request, control.client, "maintenance-reconcile-jobs", "reconcile-deployments-too")
