"""Read chain ListHealthyAgents: ListPoolAgents → ListHealthyAgents."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import ListHealthyAgents, ListPoolAgents
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_list_healthy_agents_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``pool`` in, ``agents`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain(
        "ListHealthyAgents", [ListPoolAgents(store), ListHealthyAgents(clock=clock)], middleware, level=logging.DEBUG
    )
