"""Chain DeregisterAgent: DeregisterAgent."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import DeregisterAgent
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_deregister_agent_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``agent_id`` and ``signed`` in, ``agent`` out."""
    return build_chain("DeregisterAgent", [DeregisterAgent(store, clock=clock)], middleware)
