"""Link ListAgents: one page of agents, by id."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.agent_contexts import AgentReadContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import AgentQuery


class ListAgents:
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """With heartbeats."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", AgentQuery)))
