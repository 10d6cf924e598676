"""Link RecordRollback: how far the return to another version is."""

from codeuchain import Context

from activities.chaining.links import require
from activities.deployments.transitions import (
    DeploymentOperation,
    check_deployment_change,
    refused_deployment,
)
from activities.links.deployment_contexts import DeploymentWriteContext
from activities.stores.interfaces import DeploymentStore
from workflows.contracts.deployments import DeploymentStatus, DeploymentWrite, Rollback, RollbackStatus


class RecordRollback:
    """``write`` → ``outcome``, when its account of the rollback holds together; STALE says that a newer state is
    stored. Raises InvalidState, Unavailable.
    """

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentWriteContext]) -> Context[DeploymentWriteContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", DeploymentWrite)
        check_deployment_change(DeploymentOperation.ROLLBACK, write)
        rollback = write.deployment.rollback
        problem = _contradiction(write.deployment.status, rollback) if rollback is not None else None
        if problem is not None:
            raise refused_deployment(write, problem)
        return ctx.insert("outcome", await self._store.write(write))


def _contradiction(status: DeploymentStatus, rollback: Rollback) -> str | None:
    succeeded = rollback.status is RollbackStatus.SUCCEEDED
    if succeeded is not (status is DeploymentStatus.ROLLED_BACK):
        return f"its status is {status} but its rollback has the status {rollback.status}"
    if rollback.status is not RollbackStatus.RUNNING and rollback.completed_at is None:
        return f"its rollback has the status {rollback.status} but no completed_at"
    if not rollback.by or not rollback.reason:
        return "its rollback does not say who asked for it and why"
    return None
