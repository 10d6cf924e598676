"""EventStore in memory. The other stores in memory put their records' events here. Its feed has one shard."""

import builtins
from collections.abc import Iterable
from typing import Final

from activities.stores.documents import dump_event, load_events, load_row
from activities.stores.event_rules import check_event
from activities.stores.memory.pages import newest_first
from workflows.contracts.audit.events import AuditEvent, EventPage, EventQuery
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.audit.seals import StoredRow
from workflows.contracts.audit.subjects import chained, subject_of


class MemoryEventStore:
    """EventStore in a dict, by event id. ``documents`` and ``stored`` are what lies there: its list and its feed."""

    def __init__(self) -> None:
        self.documents: Final[dict[str, str]] = {}
        self.stored: Final[dict[int, StoredRow]] = {}
        self._head = 0
        self._last: dict[str, tuple[int, str, int]] = {}
        """By subject its last number, hash and place."""

    async def append(self, event: AuditEvent) -> None:
        """See EventStore. Raises ValidationFailed for an event that cannot be kept."""
        self.keep([event])

    def keep(self, events: Iterable[AuditEvent]) -> None:
        """Keep a record's events, those that are new. Raises ValidationFailed before anything is changed."""
        events = list(events)
        for event in events:
            check_event(event)
        for event in events:
            if event.event_id not in self.documents:
                self.documents[event.event_id] = document = dump_event(event)
                self._number(event, document)

    async def list(self, query: EventQuery) -> EventPage:
        """See EventStore."""
        events = [event for event in load_events(list(self.documents.values())) if query.matches(event)]
        page, cursor = newest_first(query, events, lambda event: (event.at, event.event_id))
        return EventPage(items=page, next_cursor=cursor)

    async def heads(self) -> dict[int, int]:
        """See EventStore."""
        return {0: self._head} if self._head else {}

    async def rows(self, shard: int, behind: int, upto: int) -> builtins.list[FeedRow]:
        """See EventStore."""
        if shard != 0:
            return []
        numbers = range(behind + 1, min(upto, self._head) + 1)
        return [load_row(row) for number in numbers if (row := self.stored.get(number)) is not None]

    async def last_of(self, subject: str) -> FeedRow | None:
        """See EventStore."""
        last = self._last.get(subject)
        row = None if last is None else self.stored.get(last[2])
        return None if row is None else load_row(row)

    def _number(self, event: AuditEvent, document: str) -> None:
        subject = subject_of(event)
        number, before, place = self._last.get(subject, (0, "", 0))
        self._head += 1
        self.stored[self._head] = StoredRow(
            shard=0,
            place=f"{self._head:015d}",
            subject=subject,
            number=str(number + 1),
            before=before,
            after=f"0-{place}" if place else "",
            document=document,
        )
        self._last[subject] = (number + 1, chained(before, subject, number + 1, document), self._head)
