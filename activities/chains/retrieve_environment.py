"""Read chain RetrieveEnvironment: RetrieveEnvironment. Answers one environment's record."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.environments.links import RetrieveEnvironment
from activities.stores.interfaces import EnvironmentStore


def build_retrieve_environment_chain(store: EnvironmentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``service_name`` and ``environment`` in, ``state`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("RetrieveEnvironment", [RetrieveEnvironment(store)], middleware, level=logging.DEBUG)
