"""Link RecordStagingDeployment: a deployment in, or through, an environment before the last one."""

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
from workflows.contracts.deployments import DeploymentStatus, DeploymentWrite


class RecordStagingDeployment:
    """``write`` → ``outcome``; STALE says that a newer state is stored. Raises InvalidState, Unavailable."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentWriteContext]) -> Context[DeploymentWriteContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", DeploymentWrite)
        check_deployment_change(DeploymentOperation.STAGING, write)
        deployment = write.deployment
        if deployment.status is DeploymentStatus.STAGING and deployment.environment not in _before_last(write):
            where = deployment.environment or "no environment"
            raise refused_deployment(write, f"its status is staging but it is in {where}, not in one before the last")
        return ctx.insert("outcome", await self._store.write(write))


def _before_last(write: DeploymentWrite) -> list[str]:
    return environments_of(write.deployment)[:-1]
