"""Read chain RetrieveAgent: RetrieveAgent."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import RetrieveAgent
from activities.chaining.chains import NamedChain, build_chain
from activities.stores.interfaces import AgentStore


def build_retrieve_agent_chain(store: AgentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``agent_id`` in, ``agent`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("RetrieveAgent", [RetrieveAgent(store)], middleware, level=logging.DEBUG)
