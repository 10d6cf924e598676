"""Link UpdateDeployment: more is known of a deployment, or it ends without a rollback."""

from codeuchain import Context

from activities.chaining.links import require
from activities.deployments.transitions import DeploymentOperation, check_deployment_change
from activities.links.deployment_contexts import DeploymentWriteContext
from activities.stores.interfaces import DeploymentStore
from workflows.contracts.deployments import DeploymentWrite


class UpdateDeployment:
    """``write`` → ``outcome``; STALE says that a newer state is stored. Raises InvalidState, Unavailable.

    ``operation`` decides which changes it may write.
    """

    def __init__(self, store: DeploymentStore, operation: DeploymentOperation) -> None:
        self._store = store
        self._operation = operation

    async def call(self, ctx: Context[DeploymentWriteContext]) -> Context[DeploymentWriteContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", DeploymentWrite)
        check_deployment_change(self._operation, write)
        return ctx.insert("outcome", await self._store.write(write))
