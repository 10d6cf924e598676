"""Whatever is done to the versions of a service: its environment, their records and their workflows say the same."""

import asyncio

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from tests.workflows.deployment_harness import Deploys
from workflows.client.deployments import workflow_id_of
from workflows.contracts.deployments.deployment import Deployment


async def disagreement(deploys: Deploys, name: str = "production") -> str | None:
    """What does not fit together, in words; None when all does."""
    state = await deploys.stores.environments.get(deploys.name, name)
    records = [await deploys.get(each) for each in deploys.started]
    live = [each for each in records if each.status == "live"]
    if state is None or state.live is None:
        return f"live by record {[each.version for each in live]}, nothing by the environment" if live else None
    if [each.deployment_id for each in live] != [state.live.deployment_id]:
        return f"live by record {[each.version for each in live]}, by the environment {state.live.version}"
    if live[0].closed or not await is_open(deploys, live[0]):
        return f"{live[0].version} is live and nothing can be done with it"
    holder = state.holder
    if holder is None or (holder.deployment_id != state.live.deployment_id and holder.live):
        return f"{state.live.version} is live and {holder and holder.version} holds the environment"
    if holder.deployment_id == state.live.deployment_id:
        stage = live[0].stage(name)
        if stage is None or stage.fence != holder.fence:
            return f"{live[0].version} has turn {stage and stage.fence}, and the environment gave {holder.fence}"
    open_ones = [each.version for each in records if each.closed and await is_open(deploys, each)]
    return f"{open_ones} have ended, and their workflows are open" if open_ones else None


async def until_all_agree(deploys: Deploys, live: str | None = None, seconds: float = 60) -> Deployment | None:
    """Wait until nothing contradicts, and ``live`` is what is live. Returns its record."""
    why = None
    for _ in range(int(seconds * 20)):
        state = await deploys.stores.environments.get(deploys.name, "production")
        version = state.live.version if state is not None and state.live is not None else None
        why = await disagreement(deploys) if live in {None, version} else f"{version} is live"
        if why is None:
            found = [each for each in [await deploys.get(one) for one in deploys.started] if each.status == "live"]
            return found[0] if found else None
        await asyncio.sleep(0.05)
    raise AssertionError(f"{why}; {await deploys.stores.environments.get(deploys.name, 'production')}")


async def is_open(deploys: Deploys, deployment: Deployment) -> bool:
    """Its workflow runs."""
    try:
        description = await deploys.client.get_workflow_handle(workflow_id_of(deployment)).describe()
    except RPCError:
        return False
    return description.status is WorkflowExecutionStatus.RUNNING
