"""Links of the audit trail; its contexts first."""

from typing import TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.stores.interfaces import EventStore
from workflows.contracts.deployments import EventPage, EventQuery


class EventReadContext(TypedDict, total=False):
    """Chain ListEvents."""

    query: EventQuery
    page: EventPage


class ListEvents(StoreLink[EventStore]):
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    async def call(self, ctx: Context[EventReadContext]) -> Context[EventReadContext]:
        """Newest first."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", EventQuery)))
