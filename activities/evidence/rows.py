"""The rows of one shard, read one after the other in pages, whatever somebody has put between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from activities.stores.documents import load_events
from activities.stores.interfaces.evidence import EvidenceStore
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.seals import NO_ROW, Leaf, StoredRow, row_place
from workflows.contracts.audit.verification import Finding, FindingKind, FoundIn

_MOST_ODD: Final = 1_000


def event_of(row: StoredRow) -> AuditEvent | None:
    """The row's event; None when its text is none."""
    try:
        return load_events([row.document])[0]
    except (ValueError, IndexError, ArithmeticError, TypeError):
        return None


def finding_about(
    row: StoredRow, kind: FindingKind, found_in: FoundIn, message: str, *, seal: int | None = None
) -> Finding:
    """What is told of a row, with what can be read of it."""
    event = event_of(row)
    return Finding(
        kind=kind,
        found_in=found_in,
        message=message,
        shard=row.shard,
        number=row.sequence,
        subject=row.subject,
        type=None if event is None else event.action,
        at=None if event is None else event.at,
        event_id=None if event is None else event.event_id,
        seal=seal,
    )


@dataclass(frozen=True, slots=True)
class RowsOfRange:
    """What stands in a range of a shard: by number, and what has a place that nobody gives."""

    by_number: dict[int, StoredRow]
    odd: Sequence[StoredRow]

    def leaves(self, behind: int, upto: int) -> list[Leaf]:
        """The digests of the rows of all numbers of the range."""
        found = self.by_number
        return [row.leaf if (row := found.get(n)) is not None else NO_ROW for n in range(behind + 1, upto + 1)]


class ShardReader:
    """Reads a shard forwards. Holds one page."""

    def __init__(self, store: EvidenceStore, shard: int, *, ahead: int = 0) -> None:
        """``ahead``: so many numbers beyond what is asked for are read with it, for the next time."""
        self._store, self._shard, self._ahead = store, shard, ahead
        self._held: list[StoredRow] = []
        self._read_to = row_place(0)
        self._taken_to: str | None = None

    async def take(self, behind: int, upto: int) -> RowsOfRange:
        """The rows of the numbers above ``behind``, up to ``upto``. Raises Unavailable.

        Of rows in odd places at most the first 1,000 are returned.
        """
        first, last = row_place(behind), row_place(upto)
        if self._taken_to is None or self._read_to < first or first < self._taken_to:
            self._held, self._read_to = [], first
        self._taken_to = last
        while self._read_to < last:
            limit = row_place(upto + self._ahead)
            page = await self._store.stored_rows(self._shard, self._read_to, limit)
            self._read_to = page[-1].place if page else limit
            self._held += page
        taken = [row for row in self._held if first < row.place <= last]
        self._held = [row for row in self._held if row.place > last]
        by_number = {number: row for row in taken if (number := row.sequence) is not None}
        return RowsOfRange(by_number, [row for row in taken if row.sequence is None][:_MOST_ODD])
