"""Read chain CheckAgentStanding: CheckAgentStanding. For what only a registered agent may do."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chains.support import NamedChain, build_chain
from activities.links.check_agent_standing import CheckAgentStanding
from activities.stores.interfaces import AgentStore


def build_check_agent_standing_chain(store: AgentStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``agent_id`` in, ``agent`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("CheckAgentStanding", [CheckAgentStanding(store)], middleware, level=logging.DEBUG)
