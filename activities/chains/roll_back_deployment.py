"""Chain RollBackDeployment of DeploymentLifecycle: RecordRollback. For the way back to another version."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import RecordRollback
from activities.stores.interfaces import DeploymentStore


def build_roll_back_deployment_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``write`` in, ``outcome`` out."""
    return build_chain("RollBackDeployment", [RecordRollback(store)], middleware)
