"""Link CreateDeployment: the record's first write."""

from codeuchain import Context

from activities.links.base import require
from activities.links.deployment_contexts import DeploymentCreationContext
from activities.links.deployment_transitions import DeploymentOperation, check_deployment_change
from activities.stores.interfaces import DeploymentStore
from workflows.contracts.deployments import DeploymentWrite


class CreateDeployment:
    """``write`` → ``outcome``; STALE says that the record was there already. Raises InvalidState, Unavailable."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentCreationContext]) -> Context[DeploymentCreationContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", DeploymentWrite)
        check_deployment_change(DeploymentOperation.CREATE, write)
        return ctx.insert("outcome", await self._store.write(write))
