"""Chain PromoteDeployment of DeploymentLifecycle: RecordProductionDeployment. For the last environment, and live."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import RecordProductionDeployment
from activities.stores.interfaces import DeploymentStore


def build_promote_deployment_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("PromoteDeployment", [RecordProductionDeployment(store)], middleware)
