"""Read chain ListDemands: ListDemands."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.pool_links import ListDemands
from activities.chaining.chains import NamedChain, build_chain
from activities.stores.interfaces import AgentStore


def build_list_demands_chain(store: AgentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``name`` in, ``demands`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListDemands", [ListDemands(store)], middleware, level=logging.DEBUG)
