"""Link ListDemands: for which labels jobs of a pool wait, or waited lately."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.agent_contexts import PoolContext
from activities.stores.interfaces import AgentStore


class ListDemands:
    """``name`` → ``demands`` of the pool, the latest first. Raises Unavailable."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """Also for a pool of which nothing else is known."""
        return ctx.insert("demands", await self._store.demands(require(ctx, "name", str)))
