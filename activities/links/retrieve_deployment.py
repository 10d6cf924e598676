"""Link RetrieveDeployment: one record by its id."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import DeploymentReadContext
from activities.stores.interfaces import DeploymentStore
from workflows.contracts.errors import NotFound


class RetrieveDeployment:
    """``deployment_id`` → ``deployment``. Raises NotFound, Unavailable."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentReadContext]) -> Context[DeploymentReadContext]:
        """A consistent read: what was written last."""
        deployment_id = require(ctx, "deployment_id", str)
        deployment = await self._store.get(deployment_id)
        if deployment is None:
            raise NotFound(
                f"There is no deployment {deployment_id}. List the deployments to find the one you mean.",
                deployment_id=deployment_id,
            )
        return ctx.insert("deployment", deployment)
