"""Link ListPoolAgents: all agents of a pool, or of every pool."""

from codeuchain import Context

from activities.bounded import gather_bounded
from activities.links.agent_contexts import AgentReadContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import Agent


class ListPoolAgents:
    """``pool``, or nothing for every pool → ``agents``, by id. Raises Unavailable."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """With heartbeats. An agent that changes pools at this moment is there once."""
        asked = ctx.get("pool")
        pools = [pool.name for pool in await self._store.pools()] if asked is None else [asked]
        agents: dict[str, Agent] = {}
        for found in await gather_bounded(self._store.of_pool, pools):
            if isinstance(found, Exception):
                raise found
            agents.update((agent.agent_id, agent) for agent in found)
        return ctx.insert("agents", [agents[agent_id] for agent_id in sorted(agents)])
