"""Link ListJobs: one page of records."""

from codeuchain import Context

from activities.chaining.links import ReadContext, require
from activities.stores.interfaces import JobStore
from workflows.contracts.records import JobQuery


class ListJobs:
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def call(self, ctx: Context[ReadContext]) -> Context[ReadContext]:
        """Newest first."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", JobQuery)))
