"""Chain UpdateAgentStatus: UpdateAgentStatus."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import UpdateAgentStatus
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_update_agent_status_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``agent_id``, ``status`` and ``signed`` in, ``agent`` out."""
    return build_chain("UpdateAgentStatus", [UpdateAgentStatus(store, clock=clock)], middleware)
