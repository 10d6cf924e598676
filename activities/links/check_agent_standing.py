"""Link CheckAgentStanding: only an agent that is registered may go on working."""

from codeuchain import Context

from activities.links.agent_contexts import AgentReadContext
from activities.links.agent_names import must_register
from activities.links.base import require
from activities.stores.interfaces import AgentStore


class CheckAgentStanding:
    """``agent_id`` → ``agent``. Raises NotFound, telling the agent to register again, Unavailable."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """A consistent read."""
        agent_id = require(ctx, "agent_id", str)
        agent = await self._store.get(agent_id)
        if agent is None or agent.deregistered_at is not None:
            raise must_register(agent_id)
        return ctx.insert("agent", agent)
