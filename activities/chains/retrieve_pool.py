"""Read chain RetrievePool: RetrievePool."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.pool_links import RetrievePool
from activities.chaining.chains import NamedChain, build_chain
from activities.stores.interfaces import AgentStore


def build_retrieve_pool_chain(store: AgentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``name`` in, ``pool`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("RetrievePool", [RetrievePool(store)], middleware, level=logging.DEBUG)
