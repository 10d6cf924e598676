"""Read chain ListPools: ListPools."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.pool_links import ListPools
from activities.chaining.chains import NamedChain, build_chain
from activities.stores.interfaces import AgentStore


def build_list_pools_chain(store: AgentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``pools`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListPools", [ListPools(store)], middleware, level=logging.DEBUG)
