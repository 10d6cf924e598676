"""Link ListRunningJobs: one page of the jobs that an agent is working on."""

from codeuchain import Context

from activities.chaining.links import ReadContext, require
from activities.stores.interfaces import JobStore
from workflows.contracts.records import JobQuery
from workflows.contracts.statuses import JobStatus


class ListRunningJobs:
    """``query`` (its status is ignored) → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def call(self, ctx: Context[ReadContext]) -> Context[ReadContext]:
        """Newest first."""
        query = require(ctx, "query", JobQuery).model_copy(update={"status": JobStatus.RUNNING})
        return ctx.insert("page", await self._store.list(query))
