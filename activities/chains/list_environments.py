"""Read chain ListEnvironments: ListEnvironments. Answers a service's environments."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.environments.links import ListEnvironments
from activities.stores.interfaces import EnvironmentStore


def build_list_environments_chain(store: EnvironmentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``service_name`` in, ``states`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListEnvironments", [ListEnvironments(store)], middleware, level=logging.DEBUG)
