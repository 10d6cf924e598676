"""Links of the audit trail; first what they hand on."""

from typing import TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.stores.interfaces.events import EventStore
from workflows.contracts.audit.events import EventPage, EventQuery


class EventContext(TypedDict, total=False):
    """What the chains of the audit trail hand on."""

    query: EventQuery
    page: EventPage


class ListEvents(StoreLink[EventStore]):
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    async def call(self, ctx: Context[EventContext]) -> Context[EventContext]:
        """Newest first."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", EventQuery)))
