"""Link ListEnvironments: the records of a service's environments."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import EnvironmentReadContext
from activities.stores.interfaces import EnvironmentStore


class ListEnvironments:
    """``service_name`` → ``states``, those that were ever used. Raises Unavailable."""

    def __init__(self, store: EnvironmentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[EnvironmentReadContext]) -> Context[EnvironmentReadContext]:
        """By name."""
        return ctx.insert("states", await self._store.of_service(require(ctx, "service_name", str)))
