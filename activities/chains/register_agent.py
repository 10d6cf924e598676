"""Chain RegisterAgent: RegisterAgent → NotePool."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import RegisterAgent
from activities.agents.pool_links import NotePool
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_register_agent_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``registration``, ``signed`` and ``credential_id`` in, ``agent`` out."""
    return build_chain("RegisterAgent", [RegisterAgent(store, clock=clock), NotePool(store, clock=clock)], middleware)
