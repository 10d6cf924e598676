"""Chain DeploymentCreation: ValidateDeploymentCreation → CreateDeployment → SerializeDeployment."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import CreateDeployment, SerializeDeployment, ValidateDeploymentCreation
from activities.stores.interfaces import DeploymentStore


def build_deployment_creation_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in; ``deployment``, ``outcome`` and ``serialized`` out.

    A validation error stops the chain before anything is written.
    """
    links = [ValidateDeploymentCreation(), CreateDeployment(store), SerializeDeployment()]
    return build_chain("DeploymentCreation", links, middleware)
