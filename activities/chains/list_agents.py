"""Read chain ListAgents: ListAgents. Answers one page, by id."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import ListAgents
from activities.chaining.chains import NamedChain, build_chain
from activities.stores.interfaces import AgentStore


def build_list_agents_chain(store: AgentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``query`` in, ``page`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListAgents", [ListAgents(store)], middleware, level=logging.DEBUG)
