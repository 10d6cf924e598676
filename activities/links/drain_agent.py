"""Link DrainAgent: an agent is told to finish what it runs and to end."""

from codeuchain import Context

from activities.agents.changes import change_agent, drained
from activities.chaining.links import require
from activities.clock import Clock
from activities.events.signatures import Signature
from activities.links.agent_contexts import AgentChangeContext
from activities.stores.interfaces import AgentStore


class DrainAgent:
    """``agent_id``, ``signed`` → ``agent``. Raises NotFound, InvalidState, Unavailable."""

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[AgentChangeContext]) -> Context[AgentChangeContext]:
        """Repeating it changes nothing."""
        agent_id, signed = require(ctx, "agent_id", str), require(ctx, "signed", Signature)
        return ctx.insert("agent", await change_agent(self._store, self._clock, agent_id, signed, drained))
