"""Rolling back what is live in an environment, whatever workflows there are: no queue, no approval, no id to find.

Deliberately not here: what there is to go back to (``workflows.deployment.live.targets``), a deployment's own rollback
(``api.deployments.service``).
"""

from api.deployments.service import require_environment, require_target
from api.environments.ports import EnvironmentPorts
from workflows.contracts.deployments.commands import RollbackCommand
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.errors import InvalidState, NotFound


async def roll_back(
    ports: EnvironmentPorts,
    service_name: str,
    environment: str,
    command: RollbackCommand,
    update_id: str | None = None,
) -> Deployment:
    """The record of what is rolled back, as the command left it: the version that is being rolled out, else the one
    that is live. Never one that only waits. The same ``update_id`` again gives the first answer.

    Raises NotFound when the service or its environment does not exist, InvalidState when nothing is live there or it
    is refused, ValidationFailed, Unavailable, and Accepted when it is taken but not answered.
    """
    await require_environment(ports, service_name, environment)
    state = await _state(ports, service_name, environment)
    answered = await _answered(ports, state, command, update_id)
    if answered is not None:
        return answered
    holder, live = state.holder, state.live
    if holder is not None and not holder.live and not holder.yielding:
        return await _stop(ports, state, holder.deployment_id, command, update_id)
    if live is None:
        raise _nothing_live(state)
    deployment = await _record(ports, service_name, live.deployment_id, live.version, environment)
    names = [each.name for each in deployment.definition.environments]
    if environment not in names[-1:]:
        last = "".join(names[-1:]) or "the last one"
        raise InvalidState(
            f"{environment} is not where {live.version} becomes live: roll back in {last}. To put another version into "
            f"{environment}, deploy it: `hybridci deploy start {service_name}`."
        )
    await require_target(ports, deployment, command)
    return await ports.deployment_client.roll_back_live(deployment, command, update_id)


async def _state(ports: EnvironmentPorts, service_name: str, environment: str) -> EnvironmentState:
    try:
        return await ports.deployments.environment(service_name, environment)
    except NotFound:
        raise _nothing_live(EnvironmentState(service_name=service_name, environment=environment)) from None


async def _answered(
    ports: EnvironmentPorts, state: EnvironmentState, command: RollbackCommand, update_id: str | None
) -> Deployment | None:
    """What the same request was answered, when it has been done: what is live now is not what it meant."""
    again = state.live.again if state.live is not None else None
    if update_id is None or again is None or again.from_deployment_id is None:
        return None
    try:
        earlier = await ports.deployments.get(again.from_deployment_id)
        return await ports.deployment_client.command(earlier, command, update_id)
    except (NotFound, InvalidState):
        return None


async def _stop(
    ports: EnvironmentPorts,
    state: EnvironmentState,
    deployment_id: str,
    command: RollbackCommand,
    update_id: str | None,
) -> Deployment:
    """Roll back what is on its way there."""
    deployment = await ports.deployments.get(deployment_id)
    await require_target(ports, deployment, command)
    try:
        return await ports.deployment_client.command(deployment, command, update_id)
    except NotFound:
        raise InvalidState(
            f"{deployment.version} was being rolled out to {state.environment} when its workflow was ended by hand. "
            "Within a minute what was live before holds the environment again: then send this again."
        ) from None


async def _record(
    ports: EnvironmentPorts, service: str, deployment_id: str, version: str, environment: str
) -> Deployment:
    try:
        return await ports.deployments.get(deployment_id)
    except NotFound:
        raise InvalidState(
            f"{version} is live in {environment}, but its record is gone (deployment {deployment_id}): nothing can be "
            f"rolled back from it. Deploy the version that you want: `hybridci deploy start {service} --version …`, "
            "POST /api/dashboard/deployments."
        ) from None


def _nothing_live(state: EnvironmentState) -> InvalidState:
    return InvalidState(
        f"Nothing is live in {state.environment} of {state.service_name}: there is nothing to roll back. What waits "
        f"for it: `hybridci service show {state.service_name}`; to end that: `hybridci deploy cancel DEPLOYMENT`."
    )
