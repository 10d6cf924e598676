"""Chain PrepareDeployment of DeploymentLifecycle: UpdateDeployment. For what happens before any environment."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import UpdateDeployment
from activities.deployments.transitions import DeploymentOperation
from activities.stores.interfaces import DeploymentStore


def build_prepare_deployment_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("PrepareDeployment", [UpdateDeployment(store, DeploymentOperation.PREPARE)], middleware)
