"""Link CreateDeployment: the record's first write."""

from codeuchain import Context

from activities.chaining.links import require
from activities.deployments.transitions import DeploymentOperation, check_deployment_change
from activities.links.deployment_contexts import DeploymentCreationContext
from activities.stores.interfaces import DeploymentStore
from workflows.contracts.deployments import Deployment, DeploymentWrite
from workflows.contracts.errors import Conflict


class CreateDeployment:
    """``write`` → ``outcome``; STALE says that the record was there already.

    Raises Conflict when that is another service's or version's: one idempotency key, sent to two API processes with two
    requests at the same moment, starts two workflows (their ids name service and version), but an id has one record.
    InvalidState, Unavailable.
    """

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentCreationContext]) -> Context[DeploymentCreationContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", DeploymentWrite)
        check_deployment_change(DeploymentOperation.CREATE, write)
        await self._require_own(write.deployment)
        return ctx.insert("outcome", await self._store.write(write))

    async def _require_own(self, deployment: Deployment) -> None:
        found = await self._store.get(deployment.deployment_id)
        if found is not None and (found.service_name, found.version) != (deployment.service_name, deployment.version):
            raise Conflict(
                f"This Idempotency-Key was used with another request (deployment {found.deployment_id} of "
                f"{found.service_name} {found.version}); use a new key for a new one."
            )
