"""Chain EndDeployment of DeploymentLifecycle: UpdateDeployment. For a deployment that failed or was superseded."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import UpdateDeployment
from activities.deployments.transitions import DeploymentOperation
from activities.stores.interfaces import DeploymentStore


def build_end_deployment_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("EndDeployment", [UpdateDeployment(store, DeploymentOperation.END)], middleware)
