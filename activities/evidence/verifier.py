"""Verifying the whole trail: the chain of seals, every sealed range, what is not sealed yet, the copies in lists.

It streams: what is in memory does not grow with the number of events. What is read may have been written by anybody, so
nothing of it is believed that no seal covers, and nothing of it can stop the verification.
Deliberately not here: HTTP, words for people, and the parts themselves (``ranges``, ``subject_chains``, ``copies``,
``matching``).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from activities.clock import Clock
from activities.evidence.copies import CopySums, Covered, text_digest
from activities.evidence.keys import is_signed
from activities.evidence.matching import Matching, wrong_copy
from activities.evidence.policy_removals import PolicyRemovals
from activities.evidence.ranges import MissingRow, RangeCheck, inserted, unreadable
from activities.evidence.rows import RowsOfRange, ShardReader, event_of
from activities.evidence.sealer import IDLE_MS
from activities.evidence.subject_chains import SubjectChains
from activities.stores.interfaces.evidence import EventCopy, EvidenceStore
from workflows.contracts.audit.seals import (
    LAST_PLACE,
    SealChain,
    SealedRange,
    SealKind,
    SignedSeal,
    StoredRow,
    row_place,
)
from workflows.contracts.audit.verification import (
    Finding,
    FindingKind,
    FoundIn,
    RemovedEvents,
    VerificationProgress,
    VerificationSummary,
    fault_words,
)

Told = VerificationProgress | Finding | RemovedEvents | VerificationSummary

_SEALS_A_PAGE: Final = 50
_ROWS_A_STEP: Final = 400
_STEP: Final = 2_000
_LATE_SECONDS: Final = 1.0
_MOST_REMEMBERED: Final = 100_000
"""Rows that were told, and texts that belong to them: what is beyond may be told twice, as a copy too."""
_STOPPED_MS: Final = 2 * IDLE_MS


class Verifier:
    """One verification. ``keys``: public keys by their ids; None: those that the seals name."""

    def __init__(self, store: EvidenceStore, clock: Clock, keys: Mapping[str, str] | None) -> None:
        self._store, self._clock, self._keys = store, clock, keys
        self._began = clock()
        self._removals = PolicyRemovals()
        self._chains = SubjectChains(store)
        self._sums = CopySums()
        self._covered = Covered(None, self._began)
        self._readers: dict[int, ShardReader] = {}
        self._chain = SealChain.begin(is_signed, keys)
        self._sealed_heads: dict[int, int] = {}
        self._covered_to: dict[int, int] = {}
        """By shard the last number of a range that was compared."""
        self._last: tuple[int, int] | None = None
        """The number and the time of the last good seal."""
        self._signers: dict[str, None] = {}
        self._remarks: list[str] = []
        self._counts: Counter[str] = Counter()
        self._seals = self._sealed = self._unsealed = self._before = 0
        self._bad: set[tuple[int, int]] = set()
        self._texts: dict[bytes, Finding | None] = {}
        """By the digest of a text that belongs to what is told; the finding, where a copy can say which event it is."""

    async def run(self) -> AsyncGenerator[Told, None]:
        """What it finds, as it finds it; the summary last. Raises Unavailable."""
        for part in (self._read_seals, self._check_ranges, self._check_unsealed, self._check_copies):
            async with aclosing(part()) as tellings:
                async for told in tellings:
                    if isinstance(told, Finding):
                        self._counts[told.kind.value] += 1
                    yield told
        yield self._summary()

    async def _read_seals(self) -> AsyncGenerator[Told, None]:
        """The chain and its signatures; what a policy removed."""
        behind, newest = 0, await self._store.last_seal()
        last = 0 if newest is None else newest.number  # what is made meanwhile is for the next verification
        while behind < last and (page := await self._store.seals(behind, _SEALS_A_PAGE)):
            for kept in page:
                before = self._chain.number
                seal, faults = self._chain.follow(kept)
                self._seals += 1
                for fault in faults:
                    words = fault_words(fault, kept.number, before)
                    yield Finding(kind=FindingKind.SEAL, found_in=FoundIn.SEALS, seal=kept.number, message=words)
                if seal is None:
                    continue
                if self._last is None:
                    self._covered = Covered(seal.sealed_at, self._began)
                self._last = (kept.number, seal.sealed_at)
                self._signers[seal.key_id] = None
                self._sealed_heads |= seal.sealed_heads
                if seal.kind is SealKind.REMOVAL:
                    self._removals.add(seal)
            behind = max(page[-1].number, behind + 1)
            yield VerificationProgress(part="seals", done=self._seals)

    async def _read_removals(self) -> None:
        """What a policy has removed since the seals were read."""
        while page := await self._store.seals(self._chain.number, _SEALS_A_PAGE):
            for kept in page:
                seal, _ = self._chain.follow(kept)
                if seal is not None and seal.kind is SealKind.REMOVAL:
                    self._removals.add(seal)

    async def _check_ranges(self) -> AsyncGenerator[Told, None]:
        """Every sealed range, in the order of the seals."""
        behind, told_at, total = 0, 0, sum(self._sealed_heads.values())
        last, again = self._last[0] if self._last else 0, SealChain.begin(is_signed, self._keys)
        while behind < last and (page := await self._store.seals(behind, _SEALS_A_PAGE)):
            for kept in page:
                seal, _ = again.follow(kept)
                for index, sealed in enumerate(() if seal is None or kept.number > last else seal.ranges):
                    async for told in self._check_range(kept, index, sealed):
                        yield told
                    if self._sealed - told_at >= _STEP:
                        told_at = self._sealed
                        yield VerificationProgress(part="events", done=self._sealed, of=total)
            behind = max(page[-1].number, behind + 1)
        for removed in self._removals.told():
            yield removed

    async def _check_range(self, kept: SignedSeal, index: int, sealed: SealedRange) -> AsyncGenerator[Finding, None]:
        covered = self._covered_to.get(sealed.shard, 0)
        self._covered_to[sealed.shard] = max(covered, sealed.upto)
        async for finding in self._check_open(sealed.shard, covered, sealed.behind):  # between: a seal is missing
            yield finding
        reader = self._readers.setdefault(sealed.shard, ShardReader(self._store, sealed.shard, ahead=_ROWS_A_STEP))
        rows = await reader.take(sealed.behind, sealed.upto)
        if len(rows.by_number) < sealed.count and self._removals.said_of(kept.number, sealed) is None:
            await self._read_removals()  # it may have gone by policy at this moment
        check = RangeCheck(kept, sealed)
        check.compare(index, rows, self._removals)
        self._sealed += sealed.upto - sealed.behind
        for finding in check.findings:
            yield finding
        for gone in check.missing:
            if not self._hold(gone):
                yield gone.finding
        for digest in check.texts:
            self._remember(digest, None)
        for number in check.bad:
            self._chains.distrust(sealed.shard, number)
            if len(self._bad) < _MOST_REMEMBERED:
                self._bad.add((sealed.shard, number))
        for row in check.good:
            self._chains.remember(row)
        for row in check.good:
            async for finding in self._check_row(row):
                yield finding

    async def _check_unsealed(self) -> AsyncGenerator[Told, None]:
        """What no seal covers yet, what stands where no number was given, and numbers that were set back."""
        self._readers.clear()
        heads = await self._store.heads()
        for shard in sorted({*heads, *self._sealed_heads}):
            head, sealed = heads.get(shard, 0), self._sealed_heads.get(shard, 0)
            if head < sealed:
                yield _set_back(shard, head, sealed)
            async for finding in self._check_open(shard, self._covered_to.get(shard, 0), head):
                yield finding
            async for finding in self._behind_the_head(shard, max(head, sealed)):
                yield finding

    async def _check_open(self, shard: int, behind: int, head: int) -> AsyncGenerator[Finding, None]:
        """Rows that no good seal covers."""
        for begin in range(behind, head, _ROWS_A_STEP):
            upto = min(head, begin + _ROWS_A_STEP)
            rows = await self._unsealed_rows(shard, begin, upto)
            for row in rows.odd:
                self._remember(row.document_digest, None)
                yield inserted(row)
            for number in range(begin + 1, upto + 1):
                row = rows.by_number.get(number)
                if row is not None:
                    self._unsealed += 1
                    async for finding in self._check_row(row):
                        yield finding
                elif not self._removals.covers(shard, number):
                    yield _never_read(shard, number)

    async def _unsealed_rows(self, shard: int, behind: int, upto: int) -> RowsOfRange:
        """A number can be known shortly before its row can be read."""
        rows = await ShardReader(self._store, shard).take(behind, upto)
        if len(rows.by_number) < upto - behind:
            await asyncio.sleep(_LATE_SECONDS)
            rows = await ShardReader(self._store, shard).take(behind, upto)
        return rows

    async def _behind_the_head(self, shard: int, head: int) -> AsyncGenerator[Finding, None]:
        given = max(head, (await self._store.heads()).get(shard, 0))
        behind = row_place(given)
        while page := await self._store.stored_rows(shard, behind, LAST_PLACE):
            given = max(given, (await self._store.heads()).get(shard, 0))
            for row in page:
                if row.sequence is None or row.sequence > given:
                    self._remember(row.document_digest, None)
                    yield inserted(row)
            behind = max(page[-1].place, row_place(given))

    async def _check_row(self, row: StoredRow) -> AsyncGenerator[Finding, None]:
        """A row that is as it was sealed, or not sealed yet: its place in its subject's chain, and its copies."""
        event = event_of(row)
        if event is None:
            yield unreadable(row)
            return
        found = await self._chains.check(row)
        if found is not None:
            yield found
        names = self._store.copies_of(event)
        self._sums.expect([name for name in names if self._covered.by_sums(name)], row.document_digest)
        single = [name for name in names if not self._covered.by_sums(name) and not self._covered.is_new(name)]
        if single:
            self._before += len(single)
            there = {copy.name: copy.document for copy in await self._store.copies_at(single)}
            for name in single:
                if there.get(name) != row.document:
                    yield wrong_copy(row, name, there.get(name))

    async def _check_copies(self) -> AsyncGenerator[Told, None]:
        """All copies in all lists against all rows; what differs is looked into."""
        done = 0
        async with aclosing(self._store.copies()) as pages:
            async for page in pages:
                for copy in page:
                    self._add_up(copy)
                done += len(page)
                yield VerificationProgress(part="copies", done=done)
        for finding in [each for each in self._texts.values() if each is not None]:
            yield finding
        differing = self._sums.differing()
        if not differing.buckets:
            return
        matching = Matching(self._store, self._covered, differing, self._texts, frozenset(self._bad))
        async with aclosing(matching.run()) as findings:
            async for finding in findings:
                yield finding
        if differing.left_out or matching.cut:
            self._remarks.append("So many copies in lists differ that not all of them were looked into.")

    def _add_up(self, copy: EventCopy) -> None:
        if self._covered.by_sums(copy.name):
            self._sums.found(copy)
        elif not self._covered.is_new(copy.name):
            self._before -= 1
        digest = text_digest(copy.document) if self._texts else b""
        finding = self._texts.get(digest)
        if finding is not None and finding.type is None:
            self._texts[digest] = _named(finding, copy)

    def _hold(self, gone: MissingRow) -> bool:
        """Whether it is told later: its copies may say which event it was."""
        if gone.document is None or len(self._texts) >= _MOST_REMEMBERED:
            return False
        self._texts[gone.document] = gone.finding
        return True

    def _remember(self, digest: bytes, finding: Finding | None) -> None:
        if len(self._texts) < _MOST_REMEMBERED:
            self._texts.setdefault(digest, finding)

    def _summary(self) -> VerificationSummary:
        now = self._clock()
        number, until = self._last or (None, None)
        if until is None:
            self._remarks.append("No seal was ever made, so nothing can be known: a worker needs a key for seals.")
        elif now - until > _STOPPED_MS:
            self._remarks.append("No seal was made since then, though one is made at least every hour.")
        if self._keys is None and self._signers:
            self._remarks.append(
                "The signatures were checked with the keys that the seals name. Whose keys these are, only somebody"
                " who was given them elsewhere can say."
            )
        return VerificationSummary(
            clean=not self._counts,
            seals=self._seals,
            last_seal=number,
            known_until=until,
            sealed=self._sealed - self._removals.events,
            unsealed=self._unsealed,
            removed=self._removals.events,
            not_covered=max(0, -self._before),
            findings=dict(self._counts),
            keys=list(self._signers),
            keys_known=self._keys is not None,
            began_at=self._began,
            ended_at=now,
            remarks=self._remarks,
        )


def _named(finding: Finding, copy: EventCopy) -> Finding:
    """The same, with what a copy says of the event that is gone."""
    row = StoredRow(0, "", "", "", "", "", copy.document)
    event = event_of(row)
    if event is None:
        return finding
    told = {"type": event.action, "at": event.at, "event_id": event.event_id}
    return finding.model_copy(update={**told, "message": f"{finding.message} A list still has its copy."})


def _set_back(shard: int, head: int, sealed: int) -> Finding:
    return Finding(
        kind=FindingKind.CHANGED,
        found_in=FoundIn.FEED,
        shard=shard,
        number=head,
        message=f"shard {shard} says that its last event is {head}, and {sealed} are sealed: somebody has set it back.",
    )


def _never_read(shard: int, number: int) -> Finding:
    return Finding(
        kind=FindingKind.MISSING,
        found_in=FoundIn.FEED,
        shard=shard,
        number=number,
        message=f"event {number} of shard {shard} has a number and is not there. No good seal covers it.",
    )
