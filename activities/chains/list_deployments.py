"""Read chain ListDeployments: ListDeployments. Answers one page of records."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.deployments.links import ListDeployments
from activities.stores.interfaces import DeploymentStore


def build_list_deployments_chain(store: DeploymentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``query`` in, ``page`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListDeployments", [ListDeployments(store)], middleware, level=logging.DEBUG)
