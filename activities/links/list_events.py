"""Link ListEvents: one page of the audit trail."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import EventReadContext
from activities.stores.interfaces import EventStore
from workflows.contracts.deployments import EventQuery


class ListEvents:
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def call(self, ctx: Context[EventReadContext]) -> Context[EventReadContext]:
        """Newest first."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", EventQuery)))
