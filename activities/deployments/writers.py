"""DeploymentLifecycle: which chain writes which change of a deployment's record, the explicit registry that
``record_deployment`` looks into.

Which change is which operation stands in ``transitions``. Deliberately not here: the first write
(DeploymentCreation).
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, run_chain
from activities.chains.end_deployment import build_end_deployment_chain
from activities.chains.prepare_deployment import build_prepare_deployment_chain
from activities.chains.promote_deployment import build_promote_deployment_chain
from activities.chains.roll_back_deployment import build_roll_back_deployment_chain
from activities.chains.stage_deployment import build_stage_deployment_chain
from activities.deployments.transitions import DeploymentOperation, deployment_operation_of, refused_deployment
from activities.stores.interfaces import DeploymentStore, WriteOutcome
from workflows.contracts.deployments import DeploymentWrite


class BuildDeploymentChain(Protocol):
    """The shape of the builders of chains that write."""

    def __call__(self, store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
        """The chain."""
        ...


DEPLOYMENT_BUILDERS: Final[Mapping[DeploymentOperation, BuildDeploymentChain]] = {
    DeploymentOperation.PREPARE: build_prepare_deployment_chain,
    DeploymentOperation.STAGING: build_stage_deployment_chain,
    DeploymentOperation.PRODUCTION: build_promote_deployment_chain,
    DeploymentOperation.ROLLBACK: build_roll_back_deployment_chain,
    DeploymentOperation.END: build_end_deployment_chain,
}


class DeploymentWriter:
    """Writes a record's next state by the chain of its change. Safe for concurrent use."""

    def __init__(self, store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> None:
        self._chains = {operation: build(store, middleware) for operation, build in DEPLOYMENT_BUILDERS.items()}

    async def write(self, write: DeploymentWrite) -> WriteOutcome:
        """Raises InvalidState for a change that no operation may write, Unavailable."""
        operation = deployment_operation_of(write)
        chain = self._chains.get(operation)
        if chain is None:
            raise refused_deployment(write, "a first write goes through create_deployment, which validates it")
        return await run_chain(chain, {"write": write}, result="outcome", kind=WriteOutcome)
