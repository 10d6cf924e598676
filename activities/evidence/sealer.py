"""Sealing: what is new in each shard of the feed becomes one signed seal, chained to the one before.

A seal is one write under the condition that there is none of its number. So of two workers at once one wins, the other
reads what that one has sealed and goes on; and a kill at any moment leaves a seal or none. No write of events waits for
a seal, and none touches one.

A sealer remembers the last seal that it saw, and continues behind that one even when the store does not have it any
more: whoever cuts the chain's end while a sealer runs (or where its file of seals lies) leaves a gap for all to see.
Deliberately not here: when (``watch``), where copies go (``elsewhere``), what is compared (``verifier``).
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from activities.clock import Clock
from activities.evidence.keys import SETTING, SealKey, SealKeys
from activities.evidence.rows import ShardReader
from activities.stores.interfaces.evidence import EvidenceStore
from workflows.contracts.audit.seals import (
    NO_ROW,
    Leaf,
    Seal,
    SealedRange,
    SealKind,
    SegmentName,
    SignedSeal,
    StoredRow,
    digest_of,
    packed,
)
from workflows.contracts.errors import Unavailable
from workflows.newest import Newest

logger = logging.getLogger(__name__)

IDLE_MS: Final = 3_600_000
"""So old the last seal may be before one is made of nothing new: then it says that nothing happened."""
MAX_EVENTS: Final = 2_500
"""Of one seal: with 86 bytes for each, and 400 KB in an item."""
_MISSING_MS: Final = 30_000
"""A row that cannot be read is waited for so long; then it is sealed as missing."""
_TRIES: Final = 20
_PAGE: Final = 50
_LOOKED_BACK: Final = 1_000


@dataclass(frozen=True, slots=True)
class _New:
    """What is new in a shard: the range, and the digests of its rows."""

    sealed: SealedRange
    leaves: list[Leaf]


@dataclass(frozen=True, slots=True)
class _Last:
    """The last seal that is certainly of our workers: as it is kept, and what it says."""

    kept: SignedSeal
    seal: Seal


class Sealer:
    """Seals with one key, for one event loop. ``remembered``: the last seal that was ever sent elsewhere from here."""

    def __init__(
        self, store: EvidenceStore, key: SealKeys, clock: Clock, *, remembered: SignedSeal | None = None
    ) -> None:
        """``key``: one for good, or whoever says which it is now."""
        self.store, self._keys, self._clock = store, key, clock
        self._key = self._key_now()
        seal = None if remembered is None else self._key.read(remembered)
        self._last = None if remembered is None or seal is None else _Last(remembered, seal)
        self._missing: dict[int, tuple[int, int]] = {}
        """By shard the first number that cannot be read, and since when."""
        self._passed_by: Newest[int, None] = Newest(_LOOKED_BACK)
        """The numbers of seals that are not ours."""

    async def seal_new(self) -> SignedSeal | None:
        """Seal what is new, as much of it as one seal takes. None: nothing is, and the last seal is young enough.

        Call it again until it is None. Raises Unavailable.
        """
        for _ in range(_TRIES):
            self._key = self._key_now()
            last = await self.last()
            sealed = {} if last is None else last.seal.sealed_heads
            given = await self.store.heads()
            begin = _not_beyond(sealed, given)
            new = await self._new(begin, given)
            now = self._clock()
            if not new and begin == sealed and last is not None and now - last.seal.sealed_at < IDLE_MS:
                return None
            heads = {**begin, **{each.sealed.shard: each.sealed.upto for each in new}}
            seal = self._following(last, now).model_copy(
                update={"ranges": [each.sealed for each in new], "heads": _as_text(heads)}
            )
            made = self._key.sign(seal, [packed(each.leaves) for each in new])
            if await self._keep(made):
                return made
        raise Unavailable(f"{_TRIES} times another worker has sealed first. Try again later.")

    async def seal_removal(
        self, choose: Callable[[Seal], Awaitable[tuple[list[SegmentName], int]]], because: str
    ) -> SignedSeal | None:
        """Seal that these segments go, before anything of them is deleted. Raises Unavailable.

        ``choose`` is given the last seal: the segments, and the number before which nothing is left. None: it chose
        nothing, or there is no seal yet.
        """
        for _ in range(_TRIES):
            self._key = self._key_now()
            last = await self.last()
            if last is None:
                return None
            segments, first_kept = await choose(last.seal)
            if not segments:
                return None
            seal = self._following(last, self._clock())
            seal = seal.model_copy(
                update={
                    "kind": SealKind.REMOVAL,
                    "removed": segments,
                    "because": because,
                    "last_removal": seal.number,
                    "first_kept": first_kept,
                }
            )
            made = self._key.sign(seal, [])
            if await self._keep(made):
                return made
        raise Unavailable(f"{_TRIES} times another worker has sealed first. Try again later.")

    def _key_now(self) -> SealKey:
        return self._keys if isinstance(self._keys, SealKey) else self._keys()

    async def last(self) -> _Last | None:
        """The last seal: what others have sealed since this one looked is read.

        Raises Unavailable, also when no seal in sight is signed by a key that this worker knows.
        """
        last = self._last
        if last is None:
            kept = await self.store.last_seal()
            self._last = None if kept is None else await self._first_look(kept)
            return self._last
        known = last.kept
        behind, seen = known.number - 1, False
        while found := await self.store.seals(behind, _PAGE):
            seen = seen or found[0].hash == known.hash
            for kept in found:
                seal = self._key.read(kept)
                if seal is None:
                    self._pass_by(kept.number)
                elif kept.number > last.kept.number:
                    last = _Last(kept, seal)
            behind = found[-1].number
        if not seen:
            self._tell_cut(known.number)
        self._last = last
        return last

    async def _first_look(self, newest: SignedSeal) -> _Last:
        kept: SignedSeal | None = newest
        for _ in range(_LOOKED_BACK):
            seal = self._key.read(kept)
            if seal is not None:
                return _Last(kept, seal)
            self._pass_by(kept.number)
            kept = await self.store.last_seal(below=kept.number)
            if kept is None:
                break
        raise Unavailable(
            f"Seal {newest.number} is signed by no key that this worker knows, so it seals nothing behind it. The file"
            f" of {SETTING} must also hold the key before, below the new one; `hybridci audit verify` says more."
        )

    def _pass_by(self, number: int) -> None:
        """One that somebody else has put there says nothing, and the chain goes on without it."""
        if number not in self._passed_by:
            logger.error("a seal is not signed by our workers: it counts for nothing", extra={"seal": number})
            self._passed_by[number] = None

    def read(self, kept: SignedSeal) -> Seal | None:
        """What a seal says; None when it is not of our workers."""
        return self._key.read(kept)

    def _tell_cut(self, number: int) -> None:
        logger.error(
            "seals were removed or changed: the chain goes on behind the last one that was seen here, and"
            " `hybridci audit verify` shows the gap",
            extra={"last_seen": number},
        )

    async def _keep(self, made: SignedSeal) -> bool:
        if not await self.store.add_seal(made):
            return False
        self._last = _Last(made, made.seal)
        return True

    def _following(self, last: _Last | None, now: int) -> Seal:
        """The next seal, with nothing in it."""
        before = None if last is None else last.seal
        number = 1 if last is None else last.kept.number + 1
        while number in self._passed_by:
            number += 1
        return Seal(
            number=number,
            sealed_at=now if before is None else max(now, before.sealed_at),
            previous="" if last is None else last.kept.hash,
            key_id=self._key.key_id,
            public_key=self._key.public_key,
            heads={} if before is None else before.heads,
            last_removal=None if before is None else before.last_removal,
            first_kept=1 if before is None else before.first_kept,
        )

    async def _new(self, begin: Mapping[int, int], given: Mapping[int, int]) -> list[_New]:
        found: list[_New] = []
        room = MAX_EVENTS
        for shard, head in sorted(given.items()):
            behind = begin.get(shard, 0)
            upto = min(head, behind + room)
            if upto <= behind:
                continue
            new = await self._range(shard, behind, upto)
            if new is not None:
                found.append(new)
                room -= new.sealed.upto - new.sealed.behind
        return found

    async def _range(self, shard: int, behind: int, upto: int) -> _New | None:
        """None: the first row cannot be read yet. A number is known shortly before its row can be read."""
        rows = (await ShardReader(self.store, shard).take(behind, upto)).by_number
        gone = next((number for number in range(behind + 1, upto + 1) if number not in rows), None)
        if gone is None:
            self._missing.pop(shard, None)
        elif not self._waited_for(shard, gone):
            upto = gone - 1
        else:
            logger.error("an event is missing and sealed as missing", extra={"shard": shard, "number": gone})
        numbers = range(behind + 1, upto + 1)
        if not numbers:
            return None
        times = [at for number in numbers if number in rows and (at := _time(rows[number])) is not None] or [0]
        leaves = [rows[number].leaf if number in rows else NO_ROW for number in numbers]
        sealed = SealedRange(
            shard=shard,
            behind=behind,
            upto=upto,
            count=sum(number in rows for number in numbers),
            digest=digest_of(leaves),
            oldest=min(times),
            newest=max(times),
            missing=[number for number in numbers if number not in rows],
        )
        return _New(sealed, leaves)

    def _waited_for(self, shard: int, number: int) -> bool:
        now = self._clock()
        which, since = self._missing.get(shard, (number, now))
        if which != number:
            since = now
        self._missing[shard] = (number, since)
        return now - since >= _MISSING_MS


def _not_beyond(sealed: Mapping[int, int], given: Mapping[int, int]) -> dict[int, int]:
    """From where it goes on. Where numbers were set back, by a restored table or by somebody, those that are given
    again are sealed again, and the chain shows where it was.
    """
    back = {shard: given.get(shard, 0) for shard, number in sealed.items() if given.get(shard, 0) < number}
    for shard, number in back.items():
        logger.error(
            "the last number of a shard was set back", extra={"shard": shard, "sealed": sealed[shard], "now": number}
        )
    return {**sealed, **back}


def _time(row: StoredRow) -> int | None:
    """The event's time; None when it cannot be read."""
    try:
        event: Any = json.loads(row.document)
        at: Any = event["at"]
    except (ValueError, KeyError, TypeError):
        return None
    return at if isinstance(at, int) else None


def _as_text(heads: Mapping[int, int]) -> dict[str, int]:
    return {str(shard): heads[shard] for shard in sorted(heads)}
