"""Chain AdmitAgent: AdmitAgent. Whether an agent could register now."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import AdmitAgent
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_admit_agent_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``registration`` in, ``admitted`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("AdmitAgent", [AdmitAgent(store, clock=clock)], middleware, level=logging.DEBUG)
