"""Reconciliation of deployments: which records are closed, with which words, and which are left alone."""

import pytest

from activities.deployments.readers import DeploymentReader
from activities.deployments.reconcile import DeploymentReconciler
from activities.deployments.writers import DeploymentWriter
from activities.jobs.reconcile import CAUSE, QUIET_MILLIS, Ending
from activities.stores.open import Stores, open_memory_stores
from tests.unit.deployment_records import in_status
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.commands import ReconcileResult
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentStatus,
    DeploymentWrite,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.environments import Leaving, RestoreLive, SignalEnvironment
from workflows.contracts.ids import deployment_workflow_id
from workflows.contracts.repairs import REPAIR_CAUSE

NOW = 10_000_000
LONG_AGO = NOW - 10 * QUIET_MILLIS
MOVING = ["pending", "staging", "staged", "production"]


class FakeDeploymentWorkflows:
    def __init__(self, how: str | None, running: set[str] | None = None) -> None:
        self.how, self.running = how, running or set[str]()
        self.told: list[SignalEnvironment] = []

    async def open_ids(self) -> set[str]:
        return self.running

    async def ended(self, workflow_id: str) -> str | None:
        return self.how

    async def signal_environment(self, signal: SignalEnvironment) -> None:
        self.told.append(signal)


async def _stored(stores: Stores, status: str) -> Deployment:
    deployment = in_status(DeploymentStatus(status), updated_at=LONG_AGO, sequence=4)
    await stores.deployments.write(DeploymentWrite(deployment=deployment))
    return deployment


async def _reconcile(stores: Stores, workflows: FakeDeploymentWorkflows, now: int = NOW) -> ReconcileResult:
    reader = DeploymentReader(stores.deployments, stores.services, stores.environments, stores.events, bans=stores.bans)
    writer = DeploymentWriter(stores.deployments)
    return await DeploymentReconciler(reader, writer, workflows, lambda: now).run(lambda checked: None)


@pytest.mark.parametrize("status", MOVING)
async def test_an_open_deployment_of_a_terminated_workflow_becomes_failed(status: str) -> None:
    stores = open_memory_stores()
    deployment = await _stored(stores, status)
    workflows = FakeDeploymentWorkflows("terminated")
    result = await _reconcile(stores, workflows)
    assert [signal.leave and signal.leave.deployment_id for signal in workflows.told] == [deployment.deployment_id]
    assert result == ReconcileResult(checked=1, closed=[deployment.deployment_id])
    record = await stores.deployments.get(deployment.deployment_id)
    assert record is not None
    assert (record.status, record.cause, record.closed, record.completed_at) == ("failed", CAUSE, True, NOW)
    assert "hybridci deploy start" in (record.error_message or "")
    events = await stores.events.list(EventQuery(deployment_id=deployment.deployment_id))
    assert [event.action for event in events.items] == ["deployment.workflow_terminated"]
    assert (await _reconcile(stores, FakeDeploymentWorkflows("terminated"))).closed == []


async def test_a_live_version_whose_workflow_is_ended_in_a_repair_is_started_again() -> None:
    stores, workflows = open_memory_stores(), FakeDeploymentWorkflows("terminated")
    deployment = await _stored(stores, "live")
    reader = DeploymentReader(stores.deployments, stores.services, stores.environments, stores.events, bans=stores.bans)
    reconciler = DeploymentReconciler(reader, DeploymentWriter(stores.deployments), workflows, lambda: NOW)
    assert await reconciler.close(deployment.deployment_id, Ending(REPAIR_CAUSE, "It could not go on"))
    record = await stores.deployments.get(deployment.deployment_id)
    assert record is not None
    assert (record.status, record.cause, record.closed) == ("live", REPAIR_CAUSE, True)
    lost = RestoreLive(deployment_id=deployment.deployment_id, why="It could not go on")
    assert [told.restore_live for told in workflows.told] == [lost]
    assert not await reconciler.close(deployment.deployment_id, Ending(REPAIR_CAUSE, "It could not go on"))
    assert len(workflows.told) == 2


async def test_who_is_not_in_temporal_any_more_says_why_and_where_to_look() -> None:
    stores = open_memory_stores()
    begun = Stage(environment="production", status=StageStatus.DEPLOYING, job_ids=["j1"])
    deployment = in_status(DeploymentStatus.PRODUCTION, updated_at=LONG_AGO, sequence=4, stages=[begun])
    await stores.deployments.write(DeploymentWrite(deployment=deployment))
    await _reconcile(stores, FakeDeploymentWorkflows("deleted"))
    record = await stores.deployments.get(deployment.deployment_id)
    assert record is not None
    said = record.error_message or ""
    assert said.startswith("Its workflow is not in Temporal any more (it was deleted, or Temporal was restored from")
    assert "Look at what runs in production, where it had begun. Start it again: `hybridci deploy start shop" in said


async def test_a_rollback_that_failed_and_lost_its_workflow_holds_the_environment_and_says_how_to_go_back() -> None:
    stores, workflows = open_memory_stores(), FakeDeploymentWorkflows("terminated")
    waits = in_status(
        DeploymentStatus.FAILED,
        with_rollback=True,
        closed=False,
        cause="rollback_failed",
        updated_at=LONG_AGO,
        sequence=4,
    )
    await stores.deployments.write(DeploymentWrite(deployment=waits))
    reader = DeploymentReader(stores.deployments, stores.services, stores.environments, stores.events, bans=stores.bans)
    reconciler = DeploymentReconciler(reader, DeploymentWriter(stores.deployments), workflows, lambda: NOW)
    assert await reconciler.close(waits.deployment_id, Ending(CAUSE, "It was of before"))
    record = await stores.deployments.get(waits.deployment_id)
    assert record is not None
    assert (record.status, record.cause, record.closed) == ("failed", "rollback_failed", True)
    assert "hybridci deploy rollback shop --environment production" in (record.error_message or "")
    assert [told.leave and told.leave.how for told in workflows.told] == [Leaving.BROKEN]


async def test_what_is_live_is_looked_at_elsewhere() -> None:
    stores, workflows = open_memory_stores(), FakeDeploymentWorkflows("terminated")
    await _stored(stores, "live")
    assert await _reconcile(stores, workflows) == ReconcileResult(checked=0, closed=[])
    assert workflows.told == []


async def test_running_young_and_ended_deployments_are_left_alone() -> None:
    stores = open_memory_stores()
    deployment = await _stored(stores, "staged")
    workflow_id = deployment_workflow_id(deployment.service_name, deployment.version, deployment.deployment_id)
    for workflows, now in (
        (FakeDeploymentWorkflows("terminated", {workflow_id}), NOW),
        (FakeDeploymentWorkflows(None), NOW),
        (FakeDeploymentWorkflows("terminated"), LONG_AGO + QUIET_MILLIS - 1),
    ):
        assert (await _reconcile(stores, workflows, now)).closed == []
    assert await stores.deployments.get(deployment.deployment_id) == deployment
