"""Read chain DeploymentStats: ReadDeploymentStats. Answers the deployments in numbers."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import ReadDeploymentStats
from activities.stores.interfaces import DeploymentStore


def build_deployment_stats_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """Nothing in, ``deployment_stats`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("DeploymentStats", [ReadDeploymentStats(store)], middleware, level=logging.DEBUG)
