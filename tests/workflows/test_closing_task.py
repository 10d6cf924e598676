"""A workflow task that would close a workflow is refused when a signal has come in meanwhile, and forgotten.

Nothing that another workflow has heard of may depend on it, and who asked must still be answered.
"""

import asyncio
from contextlib import suppress

from tests.workflows.deployment_harness import BOB, CAT, Deploys
from workflows.contracts.accepted import Accepted
from workflows.contracts.deployments.commands import CancelDeployment, ReportMetrics, RollbackCommand
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.errors import NotFound


async def test_a_cancel_that_crosses_the_grant_of_its_turn(deploys: Deploys) -> None:
    """Approved and cancelled within milliseconds: the turn is granted while the task with the cancel runs."""
    service = deploys.service(deploys.environment(approval={"required": 1}))
    ended: list[Deployment] = []
    for number in range(4):
        deployment = await deploys.start(f"1.{number}", service)
        await deploys.until_waits(deployment, "approv")
        await deploys.approve(deployment, BOB)
        await deploys.releases.command(deployment, CancelDeployment(by=CAT, reason="not this one"))
        ended.append(await deploys.until(deployment, lambda found: found.closed))  # its job may have begun
    assert [(each.status, each.cause) for each in ended] == [("failed", "cancelled")] * 4
    state = await deploys.until_environment(lambda found: found.holder is None and not found.queue)
    assert state.live is None
    for deployment in ended:
        assert (await deploys.get(deployment)).closed
        asked = [event.action for event in await deploys.events(deployment)]
        assert asked.count("deployment.cancel_requested") == 1, asked
    last = await deploys.start("2.0", service)
    await deploys.until_waits(last, "approv")
    await deploys.approve(last, BOB)
    assert (await deploys.until_status(last, "live")).version == "2.0"


async def test_a_rollback_that_ends_while_monitoring_talks(deploys: Deploys) -> None:
    """Signals all the time, so that one is there when the task that closes the workflow comes."""
    service = deploys.service(deploys.environment(verification={"max_error_rate": 0.5}))
    await deploys.live("1.0", service)
    second = await deploys.live("1.1", service)

    async def monitor() -> None:
        with suppress(NotFound):  # it has ended
            while True:
                await deploys.releases.report_metrics(second, ReportMetrics(error_rate=0.01))

    monitoring = asyncio.create_task(monitor())
    with suppress(Accepted):  # between so many signals its answer can take longer than whoever asks waits
        await deploys.releases.command(second, RollbackCommand(by=BOB, reason="slow"))
    ended = await deploys.until_status(second, "rolled_back", 60)
    state = await deploys.until_environment(lambda found: found.hold is not None)
    assert state.live is not None
    assert state.live.version == "1.0"
    async with asyncio.timeout(20):
        await monitoring
    assert ended.closed
    events = [event.action for event in await deploys.events(second)]
    assert events.count("deployment.rolled_back") == 1, events
    assert deploys.kinds().count("rollback production 1.0") == 1
