"""Copies whose sums differ, matched one by one with the rows that they must be copies of.

Events are kept meanwhile, and a policy may remove some: so before anything is told, it is looked once more.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from activities.evidence.copies import Covered, Differing, text_digest
from activities.evidence.rows import event_of
from activities.stores.documents import load_events
from activities.stores.interfaces.evidence import CopyName, EventCopy, EvidenceStore
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.seals import StoredRow, row_place
from workflows.contracts.audit.verification import Finding, FindingKind, FoundIn

_AT_ONCE: Final = 100
_MOST_UNMATCHED: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Expected:
    """What must stand at a name: the text of this row."""

    digest: bytes
    shard: int
    number: int


@dataclass(slots=True)
class Matching:
    """``explained``: digests of texts that belong to what is told already; ``bad``: the rows that are."""

    store: EvidenceStore
    covered: Covered
    differing: Differing
    explained: Mapping[bytes, object]
    bad: frozenset[tuple[int, int]]
    _expected: dict[CopyName, _Expected] = field(default_factory=dict[CopyName, _Expected])
    _unmatched: list[EventCopy] = field(default_factory=list[EventCopy])
    cut: bool = False
    """There were more than can be remembered."""

    async def run(self) -> AsyncGenerator[Finding, None]:
        """What does not match. Raises Unavailable."""
        heads = await self.store.heads()
        async for row in all_rows(self.store, {}, heads):
            if row.sequence is not None and (row.shard, row.sequence) not in self.bad:
                self._expect(row)
        async with aclosing(self.store.copies()) as pages:
            async for page in pages:
                for copy in page:
                    if self.covered.by_sums(copy.name) and self.differing.among([copy.name]):
                        self._take(copy)
        late: set[CopyName] = set()
        async for row in all_rows(self.store, heads, await self.store.heads()):
            event = event_of(row)
            late |= set() if event is None else set(self.store.copies_of(event))
        for begin in range(0, len(self._unmatched), _AT_ONCE):
            async for finding in self._never_kept(self._unmatched[begin : begin + _AT_ONCE], late):
                yield finding
        left = list(self._expected)
        for begin in range(0, len(left), _AT_ONCE):
            async for finding in self._not_there(left[begin : begin + _AT_ONCE]):
                yield finding

    def _expect(self, row: StoredRow) -> None:
        event = event_of(row)
        if event is None or row.sequence is None:
            return
        for name in self.differing.among(self.store.copies_of(event)):
            if self.covered.by_sums(name):
                self._expected[name] = _Expected(row.document_digest, row.shard, row.sequence)

    def _take(self, copy: EventCopy) -> None:
        digest = text_digest(copy.document)
        expected = self._expected.get(copy.name)
        if expected is not None and expected.digest == digest:
            del self._expected[copy.name]
        elif expected is None and digest not in self.explained:
            self.cut = self.cut or len(self._unmatched) >= _MOST_UNMATCHED
            if not self.cut:
                self._unmatched.append(copy)

    async def _never_kept(self, copies: Sequence[EventCopy], late: set[CopyName]) -> AsyncGenerator[Finding, None]:
        """They have no row; one that is gone by now was removed with its row while it was looked for."""
        there = {copy.name for copy in await self.store.copies_at([copy.name for copy in copies])}
        for copy in copies:
            if copy.name in there and copy.name not in late:
                event = _event(copy.document)
                yield _finding(FindingKind.INSERTED, copy.name, event, "has a copy in a list, and no row in the feed")

    async def _not_there(self, names: Sequence[CopyName]) -> AsyncGenerator[Finding, None]:
        there = {copy.name: copy.document for copy in await self.store.copies_at(names)}
        for name in names:
            expected, document = self._expected[name], there.get(name)
            row = await _row_at(self.store, expected.shard, expected.number)
            if row is None or row.document_digest != expected.digest or document == row.document:
                continue
            yield wrong_copy(row, name, document)


async def all_rows(
    store: EvidenceStore, behind: Mapping[int, int], heads: Mapping[int, int]
) -> AsyncIterator[StoredRow]:
    """The rows of all shards between these numbers."""
    for shard, head in sorted(heads.items()):
        place, last = row_place(behind.get(shard, 0)), row_place(head)
        while place < last and (page := await store.stored_rows(shard, place, last)):
            for row in page:
                yield row
            place = page[-1].place


def wrong_copy(row: StoredRow, name: CopyName, document: str | None) -> Finding:
    """A copy that is not its row's text, or is not there."""
    kind, what = (
        (FindingKind.MISSING, "is missing in a list where it must stand")
        if document is None
        else (FindingKind.CHANGED, "says something else in a list than in the feed")
    )
    finding = _finding(kind, name, event_of(row), what)
    return finding.model_copy(update={"shard": row.shard, "number": row.sequence, "subject": row.subject})


async def _row_at(store: EvidenceStore, shard: int, number: int) -> StoredRow | None:
    found = await store.stored_rows(shard, row_place(number - 1), row_place(number))
    return next((row for row in found if row.sequence == number), None)


def _event(document: str) -> AuditEvent | None:
    try:
        return load_events([document])[0]
    except (ValueError, IndexError, ArithmeticError, TypeError):
        return None


def _finding(kind: FindingKind, name: CopyName, event: AuditEvent | None, what: str) -> Finding:
    return Finding(
        kind=kind,
        found_in=FoundIn.COPY,
        message=f"event {name.place.partition('#')[2] or name.place} {what}.",
        type=None if event is None else event.action,
        at=None if event is None else event.at,
        event_id=None if event is None else event.event_id,
        list_name=name.list_name,
    )
