"""Link ReadQueueStats: the queue in numbers."""

from codeuchain import Context

from activities.chaining.links import ReadContext
from activities.stores.interfaces import JobStore


class ReadQueueStats:
    """Nothing → ``queue_stats``. Raises Unavailable."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def call(self, ctx: Context[ReadContext]) -> Context[ReadContext]:
        """Reads counters: the same cost at ten jobs and at ten million."""
        return ctx.insert("queue_stats", await self._store.queue_stats())
