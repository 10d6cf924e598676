"""What stands in the way of archiving, deleting or renaming: asked of the stores, told in words.

Deliberately not here: the links that ask (``links``, ``standing_links``).
"""

from dataclasses import dataclass

from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.environments import EnvironmentStore
from workflows.contracts.deployments.deployment import DeploymentQuery
from workflows.contracts.deployments.services import ServiceSpec
from workflows.contracts.deployments.standing import LOOKED_AT, Occupied, occupied
from workflows.contracts.errors import InvalidState


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Asks the stores."""

    deployments: DeploymentStore
    environments: EnvironmentStore

    async def of_service(self, name: str) -> Occupied:
        """Raises Unavailable."""
        states = await self.environments.of_service(name)
        newest = await self.deployments.list(DeploymentQuery(service_name=name, limit=LOOKED_AT))
        return occupied(name, states, newest.items)

    async def require_none_lost(self, name: str, before: ServiceSpec, after: ServiceSpec) -> None:
        """An environment may leave the definition only when nothing is in it, or on its way there: a version that is
        live in one name, and the next one in another, would have two locks. Raises InvalidState, Unavailable.
        """
        gone = [each for each in before.environment_names if each not in after.environment_names]
        if not gone:
            return
        states = [state for state in await self.environments.of_service(name) if state.environment in gone]
        newest = await self.deployments.list(DeploymentQuery(service_name=name, limit=LOOKED_AT))
        found = occupied(name, states, newest.items)
        said = [*found.live, *found.under_way]
        if said:
            raise InvalidState(
                f"Service {name} was not changed: the new definition has no {', '.join(gone)} any more, but "
                f"{'; '.join(said[:10])}. An environment that is renamed is another one: empty the old one first."
            )
