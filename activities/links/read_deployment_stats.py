"""Link ReadDeploymentStats: the deployments in numbers."""

from codeuchain import Context

from activities.links.deployment_contexts import DeploymentReadContext
from activities.stores.interfaces import DeploymentStore


class ReadDeploymentStats:
    """Nothing → ``deployment_stats``. Raises Unavailable."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentReadContext]) -> Context[DeploymentReadContext]:
        """Reads counters."""
        return ctx.insert("deployment_stats", await self._store.stats())
