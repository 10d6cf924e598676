"""EventStore in memory. The other stores in memory put their records' events here."""

from collections.abc import Iterable

from activities.stores.documents import dump_event, load_events
from activities.stores.event_rules import check_event
from activities.stores.memory.pages import newest_first
from workflows.contracts.audit.events import AuditEvent, EventPage, EventQuery


class MemoryEventStore:
    """EventStore in a dict, by event id."""

    def __init__(self) -> None:
        self._documents: dict[str, str] = {}

    async def append(self, event: AuditEvent) -> None:
        """See EventStore. Raises ValidationFailed for an event that cannot be kept."""
        self.keep([event])

    def keep(self, events: Iterable[AuditEvent]) -> None:
        """Keep a record's events, those that are new. Raises ValidationFailed before anything is changed."""
        events = list(events)
        for event in events:
            check_event(event)
        for event in events:
            self._documents.setdefault(event.event_id, dump_event(event))

    async def list(self, query: EventQuery) -> EventPage:
        """See EventStore."""
        events = [event for event in load_events(list(self._documents.values())) if _matches(query, event)]
        page, cursor = newest_first(query, events, lambda event: (event.at, event.event_id))
        return EventPage(items=page, next_cursor=cursor)


def _matches(query: EventQuery, event: AuditEvent) -> bool:
    wanted = (
        (query.service_name, event.service_name),
        (query.deployment_id, event.deployment_id),
        (query.job_id, event.job_id),
        (query.agent_id, event.agent_id),
        (query.by, event.by),
    )
    if not all(asked is None or asked == has for asked, has in wanted):
        return False
    in_time = (query.since or 0) <= event.at and (query.until is None or event.at <= query.until)
    return in_time and event.action.startswith(query.action or "")
