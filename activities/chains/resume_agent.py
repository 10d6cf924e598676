"""Chain ResumeAgent: ResumeAgent."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import ResumeAgent
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_resume_agent_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``agent_id`` and ``signed`` in, ``agent`` out."""
    return build_chain("ResumeAgent", [ResumeAgent(store, clock=clock)], middleware)
