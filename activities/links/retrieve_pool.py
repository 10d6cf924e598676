"""Link RetrievePool: what is kept of a pool."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.agent_contexts import PoolContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.errors import NotFound


class RetrievePool:
    """``name`` → ``pool``. Raises NotFound, Unavailable."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """A consistent read."""
        name = require(ctx, "name", str)
        pool = await self._store.pool(name)
        if pool is None:
            raise NotFound(
                f"Nothing is known of a pool {name[:64]}: no agent registered in it yet, and nobody set its bounds. "
                "`hybridci pool list` shows those there are.",
                pool=name,
            )
        return ctx.insert("pool", pool)
