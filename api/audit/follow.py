"""One follower of the feed: what it has not read of what is kept, then what comes, without a gap between.

It holds no buffer: it is a place in what the process has shown last (``tail``), and one that is too slow for that is
cut with where to go on. Deliberately not here: HTTP, and how an event becomes text (``events``).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from api.audit.positions import position_of
from api.audit.tail import Shown, Tail
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow, Heads, in_order
from workflows.contracts.errors import Unavailable

SIGN_OF_LIFE_SECONDS: Final = 15.0
OUTAGE_SECONDS: Final = 60.0
_PAGE: Final = 50
"""Events of one shard, and so in memory for one follower that reads what is kept."""
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class FeedQuiet:
    """Nothing for this follower: the moment for a sign of life. ``position``: how far it has read."""

    position: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes on this stream. Go on from ``position``."""

    position: str
    reason: str


Told = Sequence[Shown] | FeedQuiet | Ended
Sees = Callable[[AuditEvent], bool]


class FeedFollower:
    """``begin``: how far it has read; None: from now on. ``sees``: which events are for it."""

    def __init__(self, tail: Tail, begin: Heads | None, sees: Sees) -> None:
        self._tail, self._begin, self._sees = tail, begin, sees
        self._read: dict[int, int] = {}
        self._level = False
        """It has read as far as the process, and both go on together."""

    async def told(self) -> AsyncGenerator[Told, None]:
        """What to tell it, first where it stands. Inside ``tail.followed``."""
        self._read = self._tail.heads if self._begin is None else dict(self._begin)
        count = self._tail.count  # of the same moment
        yield FeedQuiet(position_of(self._read))
        failing_since: float | None = None
        while self._begin is not None and not self._tail.stopping:
            count, upto = self._tail.count, self._tail.heads
            try:
                async for told in self._kept(upto):
                    yield told
                failing_since = None
            except Unavailable:
                now = asyncio.get_running_loop().time()
                failing_since = failing_since or now
                if now - failing_since > OUTAGE_SECONDS:
                    yield Ended(position_of(self._read), "the store does not answer")
                    return
            if not self._behind(upto) and self._tail.since(count) is not None:
                break
            if self._behind(upto):
                await self._tail.news(1)
        async for told in self._live(count):
            yield told

    async def _kept(self, upto: Heads) -> AsyncGenerator[Told, None]:
        """What was kept up to there, page by page. Raises Unavailable."""
        while not self._tail.stopping:
            behind = self._behind(upto)
            if not behind:
                return
            async with self._tail.reading:
                pages = await asyncio.gather(*(self._page(shard, upto[shard]) for shard in behind))
            rows = [row for page in pages for row in page]
            shown = in_order(self._read, rows)
            if not shown:
                if not self._pass_over_missing(upto, rows):
                    return
                continue
            found: list[Shown] = []
            for row in shown:
                self._read[row.shard] = row.sequence
                if self._sees(row.event):
                    found.append(self._tail.shown(row, self._read))
            yield found or FeedQuiet(position_of(self._read))

    async def _live(self, count: int) -> AsyncGenerator[Told, None]:
        while True:
            if self._tail.stopping:
                yield Ended(position_of(self._read), "the server is stopping")
                return
            new = self._tail.since(count)
            if new is None:
                yield Ended(position_of(self._read), "too slow: events came faster than they were taken")
                return
            if not new:
                before = self._tail.count
                await self._tail.news(SIGN_OF_LIFE_SECONDS)
                if self._tail.count == before and not self._tail.stopping:
                    yield FeedQuiet(position_of(self._read))
                continue
            new = new[:_AT_ONCE]
            count += len(new)
            found = [shown for shown in map(self._taken, new) if shown is not None]
            if found:
                yield found

    def _taken(self, shown: Shown) -> Shown | None:
        """The event, if it is for this one and was not read before: another process may have been ahead of this one."""
        row = shown.row
        if row.sequence <= self._read.get(row.shard, 0):
            return None
        self._read[row.shard] = row.sequence
        if not self._sees(row.event):
            return None
        self._level = self._level or position_of(self._read) == shown.position
        return shown if self._level else self._tail.shown(row, self._read)

    async def _page(self, shard: int, upto: int) -> list[FeedRow]:
        read = self._read.get(shard, 0)
        return await self._tail.store.rows(shard, read, min(upto, read + _PAGE))

    def _behind(self, upto: Heads) -> list[int]:
        return [shard for shard, head in upto.items() if head > self._read.get(shard, 0)]

    def _pass_over_missing(self, upto: Heads, rows: Sequence[FeedRow]) -> bool:
        """Whatever has a number up to there could be read once: what cannot be read any more was removed."""
        for shard in self._behind(upto):
            read = self._read.get(shard, 0)
            following = [row.sequence for row in rows if row.shard == shard]
            last = min(following, default=min(upto[shard], read + _PAGE) + 1) - 1
            if last > read:
                self._read[shard] = last
                return True
        return False
