"""A deployment goes on as a new run when its history has grown long: nothing is lost, nor what is said just then."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from tests.workflows.conftest import keep_history
from tests.workflows.deployment_harness import BOB, CAT, Deploys
from tests.workflows.deployment_harness import deploys as started_deploys
from tests.workflows.own_servers import renewing_server
from workflows.client.deployments import workflow_id_of
from workflows.contracts.deployments.commands import ReportMetrics, RollbackCommand
from workflows.contracts.deployments.deployment import Deployment


@pytest.fixture(scope="module")
async def forgetful(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A server that suggests to continue as new after 60 events instead of 4,096."""
    async with renewing_server(tmp_path_factory.mktemp("temporal"), after_events=60) as client:
        yield client


@pytest.fixture
async def renewed(forgetful: Client) -> AsyncIterator[Deploys]:
    async with started_deploys(forgetful) as started:
        yield started


async def _runs(deploys: Deploys, deployment: Deployment) -> list[str]:
    query = f"WorkflowId = '{workflow_id_of(deployment)}'"
    for _ in range(100):
        found = [each.run_id async for each in deploys.client.list_workflows(query) if each.run_id]
        if len(found) > 2:
            return found
        # The more signals came while a task ran, the fewer events they cost.
        await deploys.releases.report_metrics(deployment, ReportMetrics(error_rate=0.2))
        await asyncio.sleep(0.1)
    raise AssertionError(f"{workflow_id_of(deployment)} was never renewed twice")


async def _until_kept(deploys: Deploys, deployment: Deployment, value: float) -> None:
    async with asyncio.timeout(20):
        while value not in [sample.value for sample in await deploys.samples(deployment)]:
            await deploys.pause()


async def test_a_deployment_renewed_with_messages_in_flight(renewed: Deploys, request: pytest.FixtureRequest) -> None:
    verification = {"max_error_rate": 0.5}
    service = renewed.service(renewed.environment(approval={"required": 2}, verification=verification))
    one = await renewed.start("1.0", service)
    await renewed.until_waits(one, "waits for approval")
    first = (await renewed.handle(one).describe()).run_id
    for number in range(40):  # some of these are in flight whenever a run ends
        await renewed.releases.report_metrics(one, ReportMetrics(error_rate=number / 1000, source=f"early-{number}"))
        if number == 20:
            await renewed.approve(one, BOB)
    await renewed.approve(one, CAT)
    live = await renewed.until_status(one, "live")
    assert [entry.by for entry in live.approvals] == [BOB, CAT]
    for number in range(40):
        report = ReportMetrics(error_rate=(number + 100) / 1000, source="late", at=live.updated_at + number)
        await renewed.releases.report_metrics(one, report)
    await _until_kept(renewed, one, 0.139)
    late = [sample.value for sample in await renewed.samples(one) if sample.source == "late"]
    assert late == [(number + 100) / 1000 for number in reversed(range(40))]
    runs = await _runs(renewed, one)
    assert renewed.kinds() == ["deploy production 1.0"]
    for number, run in enumerate((first, runs[0]), start=1):
        await keep_history(request, renewed.client, workflow_id_of(one), f"deploy-continued_as_new-{number}", run)
    two = await renewed.live("1.1", renewed.service(renewed.environment()))
    await renewed.until_status(one, "superseded")
    await renewed.releases.command(two, RollbackCommand(by=BOB, reason="slow"))
    await renewed.until_status(two, "rolled_back")
    assert renewed.kinds()[-1] == "rollback production 1.0"


async def test_a_rollback_asked_for_in_the_moment_of_renewal_is_not_lost(renewed: Deploys) -> None:
    service = renewed.service(renewed.environment(verification={"max_error_rate": 0.5}))
    await renewed.live("1.0", service)
    two = await renewed.live("1.1", service)

    async def flood(source: str) -> None:
        for number in range(30):
            report = ReportMetrics(error_rate=0.1, source=source, at=two.updated_at + number)
            await renewed.releases.report_metrics(two, report)

    async with asyncio.timeout(40):
        floods = [asyncio.create_task(flood(f"flood-{number}")) for number in range(3)]
        while len(await renewed.samples(two)) < 9:
            await renewed.pause()
        answer = await renewed.releases.command(two, RollbackCommand(by=BOB, reason="slow"))
        assert answer.rollback is not None
        await asyncio.gather(*floods, return_exceptions=True)
    await renewed.until_status(two, "rolled_back")
    assert renewed.kinds().count("rollback production 1.0") == 1
