"""Which deployments are needed, whatever their age: what is live, waits, rolls out or can be rolled back to.

The environments' records say it, and the record of who holds one: where it rolls back to. Deliberately not here: what
has ended and how old it is (``sweep``).
"""

from collections.abc import Iterable

from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.environments import EnvironmentStore
from workflows.contracts.deployments.deployment import Deployment, RollbackStatus
from workflows.contracts.deployments.environments import EnvironmentState


def has_ended(deployment: Deployment) -> bool:
    """Whether nothing moves it any more and it is live nowhere."""
    return deployment.closed and deployment.status.final


class NeededDeployments:
    """Asks the stores. ``live_versions``: how many versions that were live each environment can go back to."""

    def __init__(self, deployments: DeploymentStore, environments: EnvironmentStore, live_versions: int) -> None:
        self._deployments, self._environments, self._live_versions = deployments, environments, live_versions

    async def live(self, service_name: str) -> frozenset[str]:
        """Those that are live in some environment. Raises Unavailable."""
        states = await self._environments.of_service(service_name)
        return frozenset(state.live.deployment_id for state in states if state.live is not None)

    async def of_service(self, service_name: str) -> frozenset[str]:
        """Their ids, as the records are at this moment. Raises Unavailable."""
        needed = set[str]()
        for state in await self._environments.of_service(service_name):
            needed.update(named_by(state, self._live_versions))
            holder = None if state.holder is None else await self._deployments.get(state.holder.deployment_id)
            needed.update(_rolled_back_to(holder))
        return frozenset(needed)


def named_by(state: EnvironmentState, live_versions: int) -> Iterable[str]:
    """Whom an environment's record names: live, in line, holding, and the last that were live. Pure."""
    yield from (each.deployment_id for each in state.history[:live_versions])
    yield from (ticket.deployment_id for ticket in state.queue)
    if state.live is not None:
        yield state.live.deployment_id
    if state.holder is not None:
        yield state.holder.deployment_id
        if state.holder.over is not None:
            yield state.holder.over


def _rolled_back_to(holder: Deployment | None) -> Iterable[str]:
    """A rollback that is under way, or failed and can be tried again, needs its target."""
    if holder is None:
        return
    for rollback in (holder.rollback, *holder.rollbacks):
        succeeded = rollback is not None and rollback.status is RollbackStatus.SUCCEEDED
        if rollback is not None and rollback.target_deployment_id is not None and not succeeded:
            yield rollback.target_deployment_id
