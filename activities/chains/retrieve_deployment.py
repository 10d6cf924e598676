"""Read chain RetrieveDeployment: RetrieveDeployment. Answers one record."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import RetrieveDeployment
from activities.stores.interfaces import DeploymentStore


def build_retrieve_deployment_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``deployment_id`` in, ``deployment`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("RetrieveDeployment", [RetrieveDeployment(store)], middleware, level=logging.DEBUG)
