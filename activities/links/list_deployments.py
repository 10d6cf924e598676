"""Link ListDeployments: one page of records, of all services."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import DeploymentReadContext
from activities.stores.interfaces import DeploymentStore
from workflows.contracts.deployments import DeploymentQuery


class ListDeployments:
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentReadContext]) -> Context[DeploymentReadContext]:
        """Newest first."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", DeploymentQuery)))
