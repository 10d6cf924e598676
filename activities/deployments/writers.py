"""DeploymentLifecycle: writes a deployment's next state by the chain of its change.

Which change is which operation stands in ``transitions``, which chain writes it in ``chains``. Deliberately not here:
the first write (DeploymentCreation).
"""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import run_chain
from activities.deployments.chains import LIFECYCLE, build_deployment_lifecycle_chain
from activities.deployments.transitions import DeploymentOperation, deployment_operation_of, refused_deployment
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.deployments.deployment import DeploymentWrite


class DeploymentWriter:
    """Writes a record's next state by the chain of its change. Safe for concurrent use."""

    def __init__(self, store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> None:
        self._chains = {each: build_deployment_lifecycle_chain(store, each, middleware) for each in LIFECYCLE}

    async def write(self, write: DeploymentWrite) -> WriteOutcome:
        """Raises InvalidState for a change that no operation may write, Unavailable."""
        operation = deployment_operation_of(write)
        if operation is DeploymentOperation.REOPEN:
            raise refused_deployment(
                write, "only `reopening` makes a deployment live again, which asks its environment"
            )
        return await self._write(write, operation)

    async def reopen(self, write: DeploymentWrite) -> WriteOutcome:
        """``write``, for a record that is live again: whoever calls it has looked at its environment."""
        return await self._write(write, deployment_operation_of(write))

    async def _write(self, write: DeploymentWrite, operation: DeploymentOperation) -> WriteOutcome:
        chain = self._chains.get(operation)
        if chain is None:
            raise refused_deployment(write, "a first write goes through create_deployment, which validates it")
        return await run_chain(chain, {"write": write, "operation": operation}, result="outcome", kind=WriteOutcome)
