"""A workflow task that would close a workflow is refused when a signal has come in meanwhile, and forgotten.

Nothing that another workflow has heard of may depend on it, and who asked must still be answered.
"""

from tests.workflows.deployment_harness import BOB, CAT, Deploys
from workflows.contracts.deployment_commands import CancelDeployment
from workflows.contracts.deployments import Deployment


async def test_a_cancel_that_crosses_the_grant_of_its_turn(deploys: Deploys) -> None:
    """Approved and cancelled within milliseconds: the turn is granted while the task with the cancel runs."""
    service = deploys.service(deploys.environment(approval={"required": 1}))
    ended: list[Deployment] = []
    for number in range(8):
        deployment = await deploys.start(f"1.{number}", service)
        await deploys.until_waits(deployment, "approv")
        await deploys.approve(deployment, BOB)
        ended.append(await deploys.releases.command(deployment, CancelDeployment(by=CAT, reason="not this one")))
    assert [(each.status, each.cause) for each in ended] == [("failed", "cancelled")] * 8
    state = await deploys.until_environment(lambda found: found.holder is None)
    assert (state.queue, state.live) == ([], None)
    for deployment in ended:
        assert (await deploys.get(deployment)).closed
        asked = [event.action for event in await deploys.events(deployment)]
        assert asked.count("deployment.cancel_requested") == 1, asked
    last = await deploys.start("2.0", service)
    await deploys.approve(last, BOB)
    assert (await deploys.until_status(last, "live")).version == "2.0"
