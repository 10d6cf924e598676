"""Chain StageDeployment of DeploymentLifecycle: RecordStagingDeployment. For the environments before the last one."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import RecordStagingDeployment
from activities.stores.interfaces import DeploymentStore


def build_stage_deployment_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("StageDeployment", [RecordStagingDeployment(store)], middleware)
