"""The end of the feed, read once for all followers of a process.

While somebody follows, the heads of all shards are read at every tick, in one request, and what is new once, whatever
the number of followers. What was shown last is kept, bounded; who falls behind it reads the store. While nobody follows
nothing is read. Deliberately not here: what one follower gets to see (``follow``).
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

from activities.stores.interfaces.events import EventStore
from api.audit.positions import position_of
from api.http.times import with_times
from workflows.contracts.audit.cloud import CloudEvent, followed_event
from workflows.contracts.audit.feed import FeedRow, Heads, in_order
from workflows.contracts.errors import HybridCIError

logger = logging.getLogger(__name__)
TICK_SECONDS: Final = 0.2
KEPT: Final = 1_000
"""So many events a follower may be behind before it is cut."""
_OVERLAP: Final = 100
"""So many events before the head of each shard are looked at when the first follower comes (see ``_begin``)."""
_MISSING_SECONDS: Final = 10.0
_READERS: Final = 8


@dataclass(frozen=True, slots=True)
class Shown:
    """An event as followers get it: ``text`` is its JSON. ``position``: how far one who has it has read."""

    row: FeedRow
    position: str
    text: bytes


class Tail:
    """The end of the feed in one process. For one event loop.

    ``installation``: its name, for the events' source; ``stopping``: the process was told to end.
    """

    def __init__(
        self,
        store: EventStore,
        installation: str = "development",
        *,
        stopping: Callable[[], bool] = lambda: False,
        tick_seconds: float = TICK_SECONDS,
        kept: int = KEPT,
    ) -> None:
        self.store = store
        self._installation, self._stopping, self._tick_seconds = installation, stopping, tick_seconds
        self.reading = asyncio.Semaphore(_READERS)
        """So many followers read what is kept at once, with a page of each shard in memory."""
        self._heads: dict[int, int] = {}
        self._shown: deque[Shown] = deque(maxlen=kept)
        self._count = 0
        """How many were ever shown; the last of them are kept."""
        self._followers = 0
        self._running: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._missing: dict[int, float] = {}

    @property
    def heads(self) -> dict[int, int]:
        """How far it has shown. No event up to here has an earlier one of its subject behind it."""
        return dict(self._heads)

    @property
    def count(self) -> int:
        """How many it has shown so far."""
        return self._count

    @property
    def followers(self) -> int:
        """How many follow now."""
        return self._followers

    @property
    def stopping(self) -> bool:
        """The process was told to end."""
        return self._stopping()

    @asynccontextmanager
    async def followed(self) -> AsyncGenerator[None]:
        """Inside, somebody follows. Raises Unavailable when the store does not answer the first one."""
        async with self._lock:
            if self._running is None:
                await self._begin()
                self._running = asyncio.create_task(self._run(), name="feed")
            self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._rest()

    def since(self, count: int) -> Sequence[Shown] | None:
        """What was shown after the first ``count``; None when the beginning of it is not kept any more."""
        first = self._count - len(self._shown)
        return None if count < first else list(islice(self._shown, count - first, None))

    def shown(self, row: FeedRow, heads: Heads) -> Shown:
        """The event for who has read to ``heads`` with it."""
        position = position_of(heads)
        event = followed_event(row, self._installation, position)
        text = with_times(CloudEvent, event.model_dump_json(exclude_none=True).encode())
        return Shown(row, position, text)

    async def news(self, seconds: float) -> None:
        """Wait until more was shown, the process stops, or the time is over."""
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return

    async def tick(self) -> bool:
        """Show what is new; True when there is more at once. Raises Unavailable."""
        heads = await self.store.heads()
        rows = await self._read(self._heads, heads)
        shown = in_order(self._heads, rows)
        for row in shown:
            self._heads[row.shard] = row.sequence
            self._shown.append(self.shown(row, self._heads))
        self._count += len(shown)
        if shown:
            self._wake()
        self._pass_over_missing(heads, rows)
        return bool(shown) and any(head > self._heads.get(shard, 0) for shard, head in heads.items())

    def _rest(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _begin(self) -> None:
        """From now on. The heads of two shards are not read in one moment: an event may be among them whose subject has
        an earlier one that is not. So the last ones are looked at, and the beginning is before such an event.
        """
        heads = await self.store.heads()
        before = {shard: max(0, head - _OVERLAP) for shard, head in heads.items()}
        begin = dict(before)
        for row in in_order(before, await self._read(before, heads)):
            begin[row.shard] = row.sequence
        self._heads = begin
        self._shown.clear()
        self._missing.clear()

    async def _run(self) -> None:
        failing = False
        while True:
            more = False
            try:
                more = await self.tick()
                failing = False
            except HybridCIError as error:
                if not failing:
                    logger.warning("the feed cannot be read; trying again", extra={"because": error.message})
                failing = True
            except Exception:  # followers wait for nobody else: the reading goes on
                logger.exception("reading the feed failed; trying again")
            if self._stopping():
                self._wake()
            if not more:
                await asyncio.sleep(self._tick_seconds)

    async def _read(self, read: Heads, heads: Heads) -> list[FeedRow]:
        behind = [shard for shard, head in heads.items() if head > read.get(shard, 0)]
        parts = await asyncio.gather(*(self.store.rows(shard, read.get(shard, 0), heads[shard]) for shard in behind))
        return [row for part in parts for row in part]

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _pass_over_missing(self, heads: Heads, rows: Sequence[FeedRow]) -> None:
        """An event that has a number and cannot be read for long was removed: nobody waits for it for ever."""
        now = asyncio.get_running_loop().time()
        waiting = {shard for shard, head in heads.items() if head > self._heads.get(shard, 0)}
        self._missing = {shard: since for shard, since in self._missing.items() if shard in waiting}
        for shard in waiting:
            if now - self._missing.setdefault(shard, now) < _MISSING_SECONDS:
                continue
            following = [
                row.sequence for row in rows if row.shard == shard and row.sequence > self._heads.get(shard, 0)
            ]
            logger.error("an event is missing in the feed", extra={"shard": shard, "after": self._heads.get(shard, 0)})
            self._heads[shard] = min(following, default=heads[shard] + 1) - 1
            del self._missing[shard]
