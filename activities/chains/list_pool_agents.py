"""Chain ListPoolAgents: ListPoolAgents → ForgetGoneAgents. Answers all agents of a pool, or of every pool."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import ForgetGoneAgents, ListPoolAgents
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_list_pool_agents_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``pool`` in, ``agents`` out. Logged at DEBUG: it is asked often."""
    return build_chain(
        "ListPoolAgents", [ListPoolAgents(store), ForgetGoneAgents(store, clock=clock)], middleware, level=logging.DEBUG
    )
