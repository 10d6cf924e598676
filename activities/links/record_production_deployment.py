"""Link RecordProductionDeployment: a deployment on its way into the last environment, or live there."""

from codeuchain import Context

from activities.chaining.links import require
from activities.deployments.transitions import (
    DeploymentOperation,
    check_deployment_change,
    environments_of,
    refused_deployment,
)
from activities.links.deployment_contexts import DeploymentWriteContext
from activities.stores.interfaces import DeploymentStore
from workflows.contracts.deployments import DeploymentWrite


class RecordProductionDeployment:
    """``write`` → ``outcome``; STALE says that a newer state is stored. Raises InvalidState, Unavailable."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentWriteContext]) -> Context[DeploymentWriteContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", DeploymentWrite)
        check_deployment_change(DeploymentOperation.PRODUCTION, write)
        deployment = write.deployment
        if deployment.environment not in environments_of(deployment)[-1:]:
            where = deployment.environment or "no environment"
            raise refused_deployment(
                write, f"its status is {deployment.status} but it is in {where}, which is not the last environment"
            )
        return ctx.insert("outcome", await self._store.write(write))
