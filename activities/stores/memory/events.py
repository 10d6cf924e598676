"""EventStore in memory. The other stores in memory put their records' events here. Its feed has one shard."""

import builtins
from collections.abc import Iterable

from activities.stores.documents import dump_event, load_events
from activities.stores.event_rules import check_event
from activities.stores.memory.pages import newest_first
from workflows.contracts.audit.events import AuditEvent, EventPage, EventQuery
from workflows.contracts.audit.feed import FeedRow, Position
from workflows.contracts.audit.subjects import chained, subject_of


class MemoryEventStore:
    """EventStore in a dict, by event id."""

    def __init__(self) -> None:
        self._documents: dict[str, str] = {}
        self._rows: builtins.list[FeedRow] = []
        self._last: dict[str, tuple[FeedRow, str]] = {}
        """By subject its last row, and that one's hash."""

    async def append(self, event: AuditEvent) -> None:
        """See EventStore. Raises ValidationFailed for an event that cannot be kept."""
        self.keep([event])

    def keep(self, events: Iterable[AuditEvent]) -> None:
        """Keep a record's events, those that are new. Raises ValidationFailed before anything is changed."""
        events = list(events)
        for event in events:
            check_event(event)
        for event in events:
            if event.event_id not in self._documents:
                self._documents[event.event_id] = document = dump_event(event)
                self._number(event, document)

    async def list(self, query: EventQuery) -> EventPage:
        """See EventStore."""
        events = [event for event in load_events(list(self._documents.values())) if query.matches(event)]
        page, cursor = newest_first(query, events, lambda event: (event.at, event.event_id))
        return EventPage(items=page, next_cursor=cursor)

    async def heads(self) -> dict[int, int]:
        """See EventStore."""
        return {0: len(self._rows)} if self._rows else {}

    async def rows(self, shard: int, behind: int, upto: int) -> builtins.list[FeedRow]:
        """See EventStore."""
        return self._rows[behind:upto] if shard == 0 else []

    async def last_of(self, subject: str) -> FeedRow | None:
        """See EventStore."""
        last = self._last.get(subject)
        return None if last is None else last[0]

    def _number(self, event: AuditEvent, document: str) -> None:
        subject = subject_of(event)
        last, before = self._last.get(subject, (None, ""))
        row = FeedRow(
            shard=0,
            sequence=len(self._rows) + 1,
            subject=subject,
            number=last.number + 1 if last else 1,
            before=before,
            after=Position(shard=0, sequence=last.sequence) if last else None,
            event=event,
        )
        self._rows.append(row)
        self._last[subject] = (row, chained(before, subject, row.number, document))
