"""Link RetrieveAgent: an agent's record with its last heartbeat."""

from codeuchain import Context

from activities.agents.names import no_such_agent
from activities.chaining.links import require
from activities.links.agent_contexts import AgentReadContext
from activities.stores.interfaces import AgentStore


class RetrieveAgent:
    """``agent_id`` → ``agent``, also one that is deregistered. Raises NotFound, Unavailable."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """A consistent read."""
        agent_id = require(ctx, "agent_id", str)
        agent = await self._store.get(agent_id)
        if agent is None:
            raise no_such_agent(agent_id)
        return ctx.insert("agent", agent)
