"""Link ListDeploymentsByService: one page of one service's records."""

from codeuchain import Context

from activities.chaining.links import ChainMiswiredError, require
from activities.links.deployment_contexts import DeploymentReadContext
from activities.stores.interfaces import DeploymentStore
from workflows.contracts.deployments import DeploymentQuery


class ListDeploymentsByService:
    """``query``, which names a service → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable.

    A service without deployments, or that was never registered, has an empty page.
    """

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentReadContext]) -> Context[DeploymentReadContext]:
        """Newest first."""
        query = require(ctx, "query", DeploymentQuery)
        if query.service_name is None:
            raise ChainMiswiredError("the query names no service: this chain would list those of all services")
        return ctx.insert("page", await self._store.list(query))
