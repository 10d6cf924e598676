"""Old events go by policy: whole sealed segments, whose seals stay.

What goes is first said in a seal of its own, signed and chained like any other; then the rows go, with their copies in
lists. A kill between the two leaves segments that are said to go and still stand: the next call finishes them before it
says anything new. Verifying tells these, those that are gone, and those that somebody else took, apart.

A segment goes as a whole or stays as a whole: it stays as long as it holds one event that must stay. The last event of
a shard never goes, nor what says which number a subject's last event has.
Deliberately not here: how old is old, and which events are of something live or waiting (who calls).
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from activities.evidence.rows import ShardReader
from activities.evidence.sealer import Sealer
from activities.stores.documents import load_row
from activities.stores.interfaces.evidence import EvidenceStore
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.audit.seals import Seal, SealedRange, SegmentName, SignedSeal, digest_of

logger = logging.getLogger(__name__)

_SEALS_A_PAGE: Final = 50
_SEALS_A_CALL: Final = 2_000
_SEGMENTS_A_CALL: Final = 500
"""A seal has 400 KB."""
_DELETED_AT_ONCE: Final = 200

Keeps = Callable[[FeedRow], bool | Awaitable[bool]]
"""Whether an event must stay: it is of something that is live or waits."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What one call did. ``kept``: segments that are old enough and hold something that must stay.

    ``next_seal``: go on there (as ``start``); None: there is nothing older left. ``oldest`` and ``newest``: of what
    went, in epoch ms; None: nothing went.
    """

    events: int = 0
    segments: int = 0
    kept: int = 0
    oldest: int | None = None
    newest: int | None = None
    record: int | None = None
    next_seal: int | None = None


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Segments that may go, and where the search ended."""

    segments: list[tuple[SegmentName, SealedRange]]
    kept: int
    first_kept: int
    next_seal: int | None


async def remove_segments(
    store: EvidenceStore,
    seals: Sealer,
    older_than: int,
    keeps: Keeps,
    budget: int,
    *,
    start: int = 0,
    because: str = "older than the policy keeps events",
    dry_run: bool = False,
    beat: Callable[[int], None] | None = None,
) -> Removed:
    """Remove sealed segments whose newest event is older than ``older_than`` (epoch ms), up to ``budget`` events.

    At least one segment goes, where there is one. ``dry_run``: say what would go. ``beat`` hears how many events went,
    now and then. Can be repeated, also after a kill at any moment. Raises Unavailable.
    """
    last = await seals.last()
    if last is None:
        return Removed()
    if not dry_run:
        await _finish(store, seals, last.seal.last_removal, beat)
    chosen = await _Search(store, seals, older_than, keeps, budget).choose(last.seal, start)
    record: SignedSeal | None = None
    if chosen.segments and not dry_run:

        async def choose(now: Seal) -> tuple[list[SegmentName], int]:
            if now.last_removal != last.seal.last_removal:
                return [], 0  # somebody else removes at this moment: the next call sees what is left
            return [name for name, _ in chosen.segments], max(now.first_kept, chosen.first_kept)

        record = await seals.seal_removal(choose, because)
        if record is None:
            return Removed(kept=chosen.kept, next_seal=start)
        await _delete(store, seals, [name for name, _ in chosen.segments], beat)
    ranges = [sealed for _, sealed in chosen.segments]
    return Removed(
        events=sum(sealed.count for sealed in ranges),
        segments=len(ranges),
        kept=chosen.kept,
        oldest=min((sealed.oldest for sealed in ranges), default=None),
        newest=max((sealed.newest for sealed in ranges), default=None),
        record=None if record is None else record.number,
        next_seal=chosen.next_seal,
    )


async def _finish(
    store: EvidenceStore, seals: Sealer, last_removal: int | None, beat: Callable[[int], None] | None
) -> None:
    """What the last call said and did not do: it may have been killed."""
    if last_removal is None:
        return
    for kept in await store.seals(last_removal - 1, 1):
        said = seals.read(kept)
        if said is not None and kept.number == last_removal:
            await _delete(store, seals, said.removed, beat)


class _Search:
    """Looks for segments that may go, seal by seal."""

    def __init__(self, store: EvidenceStore, seals: Sealer, older_than: int, keeps: Keeps, budget: int) -> None:
        self._store, self._seals, self._older_than, self._keeps = store, seals, older_than, keeps
        self._budget = budget
        self._heads: dict[int, int] = {}
        self._found: list[tuple[SegmentName, SealedRange]] = []
        self._events = self._kept = 0
        self._first_kept: int | None = None
        """The first seal of which something stays; None: none so far."""

    async def choose(self, last: Seal, start: int) -> _Chosen:
        self._heads = await self._store.heads()
        self._first_kept = last.first_kept if start > last.first_kept else None
        behind, looked_at = max(start, last.first_kept) - 1, 0
        while page := await self._store.seals(behind, _SEALS_A_PAGE):
            for kept in page:
                if not await self._look(kept):
                    return self._chosen(kept.number)
                behind, looked_at = kept.number, looked_at + 1
                if self._events >= self._budget or len(self._found) >= _SEGMENTS_A_CALL or looked_at >= _SEALS_A_CALL:
                    return self._chosen(behind + 1)
            if self._all_young(page):
                break
        return self._chosen(behind + 1, to_the_end=True)

    async def _look(self, kept: SignedSeal) -> bool:
        """False: the budget ends inside this seal."""
        seal = self._seals.read(kept)
        for sealed in () if seal is None else seal.ranges:
            verdict = await self._judge(kept, sealed)
            if verdict is _Verdict.GOES and self._found and self._events + sealed.count > self._budget:
                return False
            if verdict is _Verdict.GOES:
                name = SegmentName(seal=kept.number, shard=sealed.shard, behind=sealed.behind, upto=sealed.upto)
                self._found.append((name, sealed))
                self._events += sealed.count
            elif verdict is not _Verdict.GONE:
                self._kept += verdict is _Verdict.KEPT
                self._first_kept = self._first_kept or kept.number
        return True

    async def _judge(self, kept: SignedSeal, sealed: SealedRange) -> "_Verdict":
        if sealed.newest >= self._older_than or sealed.upto >= self._heads.get(sealed.shard, 0):
            return _Verdict.YOUNG
        found = await ShardReader(self._store, sealed.shard).take(sealed.behind, sealed.upto)
        if not found.by_number:
            return _Verdict.GONE
        if digest_of(found.leaves(sealed.behind, sealed.upto)) != sealed.digest:
            logger.error("a segment is not as it was sealed, so it stays", extra={"seal": kept.number})
            return _Verdict.KEPT
        for row in found.by_number.values():
            answer = self._keeps(load_row(row))
            if await answer if inspect.isawaitable(answer) else answer:
                return _Verdict.KEPT
        return _Verdict.GOES

    def _all_young(self, page: Sequence[SignedSeal]) -> bool:
        ranges = [each for kept in page if (seal := self._seals.read(kept)) is not None for each in seal.ranges]
        return bool(ranges) and all(each.newest >= self._older_than for each in ranges)

    def _chosen(self, next_seal: int, *, to_the_end: bool = False) -> _Chosen:
        first_kept = self._first_kept or next_seal
        return _Chosen(self._found, self._kept, first_kept, None if to_the_end else next_seal)


class _Verdict(Enum):
    """What is to be done with a segment."""

    GOES = auto()
    KEPT = auto()
    YOUNG = auto()
    GONE = auto()


async def _delete(
    store: EvidenceStore, seals: Sealer, segments: Sequence[SegmentName], beat: Callable[[int], None] | None
) -> None:
    """Delete what is left of these segments, as far as it is what was sealed."""
    gone = 0
    for name in segments:
        for kept in await store.seals(name.seal - 1, 1):
            seal = seals.read(kept)
            for index, sealed in enumerate(() if seal is None else seal.ranges):
                leaves = kept.leaves_of(index, sealed)
                if leaves is None or (sealed.shard, sealed.behind, sealed.upto) != (name.shard, name.behind, name.upto):
                    continue
                found = (await ShardReader(store, name.shard).take(name.behind, name.upto)).by_number
                rows = [row for number, row in found.items() if row.leaf == leaves[number - name.behind - 1]]
                for begin in range(0, len(rows), _DELETED_AT_ONCE):
                    await store.remove(rows[begin : begin + _DELETED_AT_ONCE])
                    gone += len(rows[begin : begin + _DELETED_AT_ONCE])
                    if beat is not None:
                        beat(gone)
