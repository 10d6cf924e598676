"""Chain PauseAgent: PauseAgent."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import PauseAgent
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_pause_agent_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``agent_id``, ``signed``, ``note`` and ``seconds`` in, ``agent`` out."""
    return build_chain("PauseAgent", [PauseAgent(store, clock=clock)], middleware)
