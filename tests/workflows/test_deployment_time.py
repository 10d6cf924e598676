"""Days of waiting, in seconds, on the time-skipping server (which has no update-with-start, so signals are used)."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.workflows.deployment_harness import BOB, Deploys
from tests.workflows.deployment_harness import deploys as started_deploys
from tests.workflows.own_servers import skipping_server
from workflows.contracts.deployments.commands import Approve, OverrideFreeze
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.services import Service
from workflows.contracts.ids import CONTROL_QUEUE, deployment_workflow_id
from workflows.deployment.workflow import DeploymentWorkflow

DAY_SECONDS = 24 * 3600
ALWAYS = {"name": "always", "cron": "0 * * * *", "duration_seconds": 3600}


@pytest.fixture(scope="module")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with skipping_server() as environment:
        yield environment


@pytest.fixture
async def patient(skipping: WorkflowEnvironment) -> AsyncIterator[Deploys]:
    async with started_deploys(skipping.client) as started:
        yield started


async def _start(deploys: Deploys, version: str, service: Service) -> Deployment:
    start = deploys.input(version, service)
    await deploys.client.start_workflow(
        DeploymentWorkflow.run,
        start,
        id=deployment_workflow_id(deploys.name, version, start.deployment_id),
        task_queue=CONTROL_QUEUE,
    )
    for _ in range(500):
        found = await deploys.stores.deployments.get(start.deployment_id)
        if found is not None:
            deploys.started.append(found)
            return found
        await deploys.pause()
    raise AssertionError("the record was never written")


async def test_an_approval_expires_after_three_days(patient: Deploys, skipping: WorkflowEnvironment) -> None:
    service = patient.service(patient.environment(approval={"required": 1}))
    one = await _start(patient, "1.0", service)
    await patient.until_waits(one, "waits for approval")
    await skipping.sleep(timedelta(days=3, minutes=1))
    ended = await patient.until(one, lambda found: found.closed)
    assert (ended.status, ended.cause) == ("failed", "approval_expired")
    assert ended.completed_at is not None
    assert ended.completed_at - ended.created_at >= 3 * DAY_SECONDS * 1000
    assert "0 of 1 approvals" in (ended.error_message or "")


async def test_an_approval_given_two_days_later_counts(patient: Deploys, skipping: WorkflowEnvironment) -> None:
    service = patient.service(patient.environment(approval={"required": 1}))
    one = await _start(patient, "1.0", service)
    await patient.until_waits(one, "waits for approval")
    await skipping.sleep(timedelta(days=2))
    await patient.handle(one).signal("approve", Approve(by=BOB))
    await patient.until_status(one, "live")


async def test_a_freeze_can_be_overridden_with_a_reason(patient: Deploys) -> None:
    service = patient.service(patient.environment(freeze_windows=[ALWAYS]))
    one = await _start(patient, "1.0", service)
    await patient.until_waits(one, "always")
    await patient.handle(one).signal("override_freeze", OverrideFreeze(by=BOB, reason="the shop is down"))
    await patient.until_status(one, "live")
    overridden = [event for event in await patient.events(one) if event.action == "deployment.freeze_overridden"]
    assert [(event.by, event.reason) for event in overridden] == [(BOB, "the shop is down")]
