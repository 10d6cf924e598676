"""Read chain DeploymentCount: CountDeployments. Answers how many were created on a day."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import CountDeployments
from activities.stores.interfaces import DeploymentStore


def build_deployment_count_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``day`` in, ``day_count`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("DeploymentCount", [CountDeployments(store)], middleware, level=logging.DEBUG)
