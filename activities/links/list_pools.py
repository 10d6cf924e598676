"""Link ListPools: the pools that agents registered in, or that have bounds."""

from codeuchain import Context

from activities.links.agent_contexts import PoolContext
from activities.stores.interfaces import AgentStore


class ListPools:
    """Nothing → ``pools``, by name. Raises Unavailable."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """All of them; a few hundred at most."""
        return ctx.insert("pools", await self._store.pools())
