"""The audit trail as a whole, page by page."""

from activities.stores.interfaces.events import EventStore
from workflows.contracts.audit.events import AuditEvent, EventQuery


async def trail(store: EventStore, query: EventQuery | None = None) -> list[AuditEvent]:
    query, found = query or EventQuery(limit=100), list[AuditEvent]()
    for _ in range(100):
        page = await store.list(query)
        assert len(page.items) <= query.limit
        found += page.items
        if page.next_cursor is None:
            return found
        query = query.model_copy(update={"cursor": page.next_cursor})
    raise AssertionError("the list does not end")
