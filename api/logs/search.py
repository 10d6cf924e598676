"""Searching one attempt's log, line by line: bounded in bytes and in time for each request, which says where to go on.

Memory stays at a few MiB, whatever is found. Deliberately not here: what a match is (``needle``) and HTTP.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pydantic import Field

from activities.stores.interfaces.logs import LogStore
from api.logs.needle import Needle
from api.logs.stream import closing_stream
from workflows.contracts.base import Tolerant

MOST_BYTES: Final = 256 << 20
MOST_SECONDS: Final = 5.0
_LONGEST_LINE: Final = 1 << 20
"""A longer line is searched in pieces of this length."""
_MOST_PAGES: Final = 10_000
_SHOWN: Final = 500
"""Bytes of a line that are shown, around what was found."""


class LogHit(Tolerant):
    """A line with a match. ``line`` counts from 1; ``offset`` is where it begins in the log, in bytes; ``text`` of a
    long line is its part around the match.
    """

    line: int
    offset: int
    text: str


class LogHits(Tolerant):
    """What was found. ``count`` counts all lines with a match that were searched, ``hits`` are the first of them.

    ``next_cursor``: where to go on when the request's bounds were reached; null when the log was searched to its end.
    ``pages``: the cursors from which a search shows the lines behind ``hits``, as many at a time; of the first 10,000.
    """

    attempt: int
    count: int
    hits: list[LogHit]
    searched_bytes: int
    next_cursor: str | None = None
    pages: list[str] = Field(default_factory=list[str], exclude_if=lambda pages: not pages)


@dataclass(slots=True)
class LogSearch:
    """One request's. ``start`` and ``line``: the byte and the line at which it begins. ``stop``: once ``limit`` lines
    are found; ``paged``: say where the lines behind them are.
    """

    needle: Needle
    limit: int
    start: int = 0
    line: int = 1
    stop: bool = False
    paged: bool = False
    clock: Callable[[], float] = time.monotonic
    count: int = field(default=0, init=False)
    hits: list[LogHit] = field(default_factory=list[LogHit], init=False)
    pages: list[str] = field(default_factory=list[str], init=False)
    whole: str = field(default="0:1", init=False)
    """The cursor behind the last whole line that was searched: what follows it may still grow."""
    _rest: bytes = field(default=b"", init=False)

    async def run(self, logs: LogStore, job_id: str, attempt: int) -> LogHits:
        """Raises Unavailable."""
        began, first, out = self.clock(), self.start, False
        async with closing_stream(logs.read(job_id, attempt, first)) as chunks:
            async for chunk in chunks:
                in_time = await asyncio.to_thread(self._take, chunk.data, began + MOST_SECONDS)
                moved = self.start > first  # or the next request would begin where this one did
                if (moved and not in_time) or self.start + len(self._rest) - first >= MOST_BYTES:
                    out = True
                    break
        self.whole = f"{self.start}:{self.line}"
        if not out and self._rest:
            rest, self._rest = self._rest, b""
            await asyncio.to_thread(self._search, rest, float("inf"))
        cursor = f"{self.start}:{self.line}" if out else None
        return LogHits(
            attempt=attempt, count=self.count, hits=self.hits, searched_bytes=self.start - first, next_cursor=cursor,
            pages=self.pages,
        )  # fmt: skip

    def _take(self, data: bytes, until: float) -> bool:
        """The next bytes; False when the time is over."""
        joined = self._rest + data
        end = joined.rfind(b"\n") + 1
        if end == 0 and len(joined) >= _LONGEST_LINE:
            end = len(joined)
        self._rest = joined[end:]
        return self._search(joined[:end], until)

    def _search(self, data: bytes, until: float) -> bool:
        """Whole lines; what is left of them when the time is over is searched by the next request."""
        place = 0
        while place < len(data) and (found := self.needle(data, place)) is not None:
            begin = data.rfind(b"\n", 0, found[0]) + 1
            end = data.find(b"\n", found[0])
            behind = len(data) if end < 0 else end + 1
            if begin == len(data):
                break  # the empty text behind the last newline is no line
            line = self.line + data.count(b"\n", place, begin)
            self.count += 1
            if len(self.hits) < self.limit:
                shown = _shown(data[begin : len(data) if end < 0 else end], found[0] - begin)
                self.hits.append(LogHit(line=line, offset=self.start + begin, text=shown))
            elif self.paged and self.count % self.limit == 1 % self.limit and len(self.pages) < _MOST_PAGES:
                self.pages.append(f"{self.start + begin}:{line}")
            self.line, place = line + (0 if end < 0 else 1), behind
            enough = self.stop and len(self.hits) >= self.limit
            if (enough or self.clock() > until) and place < len(data):
                self._rest = data[place:] + self._rest
                self.start += place
                return False
        self.line += data.count(b"\n", place)
        self.start += len(data)
        return self.clock() <= until and not (self.stop and len(self.hits) >= self.limit)


def _shown(line: bytes, match: int) -> str:
    begin = max(0, min(match - _SHOWN // 4, len(line) - _SHOWN))
    return line[begin : begin + _SHOWN].decode("utf-8", "replace")
