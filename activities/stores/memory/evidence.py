"""EvidenceStore in memory, over the events of the store in memory."""

import builtins
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from activities.stores.documents import load_events
from activities.stores.interfaces.evidence import CopyName, EventCopy
from activities.stores.memory.events import MemoryEventStore
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.seals import SignedSeal, StoredRow

_LIST = "all"


class MemoryEvidenceStore:
    """See EvidenceStore. Of each event there is one copy. ``kept``: the seals that lie there, by number."""

    def __init__(self, events: MemoryEventStore) -> None:
        self._events = events
        self.kept: Final[dict[int, SignedSeal]] = {}
        self._sent: dict[str, int] = {}

    async def heads(self) -> dict[int, int]:
        """See EvidenceStore."""
        return await self._events.heads()

    async def stored_rows(self, shard: int, behind: str, upto: str) -> list[StoredRow]:
        """See EvidenceStore."""
        rows = sorted(self._events.stored.values(), key=lambda row: row.place)
        return [row for row in rows if row.shard == shard and behind < row.place <= upto]

    async def place_before(self, subject: str, number: int) -> str:
        """See EvidenceStore. Every row says it."""
        return ""

    def copies_of(self, event: AuditEvent) -> list[CopyName]:
        """See EvidenceStore."""
        return [CopyName(_LIST, f"{event.at:015d}#{event.event_id}")]

    async def copies(self) -> AsyncGenerator[Sequence[EventCopy], None]:
        """See EvidenceStore."""
        yield [self._copy(event_id) for event_id in self._events.documents]

    async def copies_at(self, names: Sequence[CopyName]) -> list[EventCopy]:
        """See EvidenceStore."""
        copies = [self._copy(event_id) for event_id in self._events.documents]
        return [copy for copy in copies if copy.name in set(names)]

    async def remove(self, rows: Sequence[StoredRow]) -> None:
        """See EvidenceStore."""
        for row in rows:
            self._events.documents.pop(load_events([row.document])[0].event_id, None)
            self._events.stored.pop(int(row.place), None)

    async def add_seal(self, seal: SignedSeal) -> bool:
        """See EvidenceStore."""
        if seal.number in self.kept:
            return False
        self.kept[seal.number] = seal
        return True

    async def seals(self, behind: int, limit: int) -> builtins.list[SignedSeal]:
        """See EvidenceStore."""
        return [self.kept[number] for number in sorted(self.kept) if number > behind][:limit]

    async def last_seal(self, below: int | None = None) -> SignedSeal | None:
        """See EvidenceStore."""
        numbers = [number for number in self.kept if below is None or number < below]
        return self.kept[max(numbers)] if numbers else None

    async def sent(self, destination: str) -> int:
        """See EvidenceStore."""
        return self._sent.get(destination, 0)

    async def mark_sent(self, destination: str, number: int) -> None:
        """See EvidenceStore."""
        self._sent[destination] = max(number, self._sent.get(destination, 0))

    def _copy(self, event_id: str) -> EventCopy:
        document = self._events.documents[event_id]
        at = load_events([document])[0].at
        return EventCopy(CopyName(_LIST, f"{at:015d}#{event_id}"), document)
