"""Which of several queues to poll next: the one with the most urgent task, among equals the one that waits longest.

What Temporal says of a queue is shared by all claimers for a moment, and each choice is counted, so that a hundred of
them do not run after one task. Deliberately not here: the polling itself (``service``).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from api.temporal.task_queues import Backlog

FRESH_SECONDS: Final = 0.5
_KEPT: Final = 1000


@dataclass(slots=True)
class _Seen:
    """What waited in a queue when it was looked at, less what claimers went for since. ``at`` None: never."""

    at: float | None = None
    waiting: dict[int, int] = field(default_factory=dict[int, int])
    oldest_seconds: float = 0
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class QueueChoice:
    """Remembers for half a second what waits where."""

    def __init__(
        self, backlog: Callable[[str], Awaitable[Backlog]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backlog, self._clock = backlog, clock
        self._seen: dict[str, _Seen] = {}

    async def next_of(self, queues: Sequence[str]) -> str | None:
        """The queue to poll now, or None when nothing waits in any. Raises what ``backlog`` raises."""
        seen = await asyncio.gather(*(self._look(queue) for queue in queues))
        busy = [(min(each.waiting), -each.oldest_seconds, place) for place, each in enumerate(seen) if each.waiting]
        if not busy:
            return None
        priority, _, place = min(busy)
        self._count(seen[place], priority)
        return queues[place]

    async def _look(self, queue: str) -> _Seen:
        seen = self._seen.setdefault(queue, _Seen())
        async with seen.looking:
            if seen.at is None or self._clock() - seen.at > FRESH_SECONDS:
                found = await self._backlog(queue)
                seen.at = self._clock()
                seen.waiting, seen.oldest_seconds = dict(found.by_priority), found.oldest_wait_seconds
        self._forget_some(queue)
        return seen

    def _forget_some(self, but: str) -> None:
        """A queue is named by what jobs demand, and those names have no end."""
        if len(self._seen) > _KEPT:
            del self._seen[next(queue for queue in self._seen if queue != but)]

    @staticmethod
    def _count(seen: _Seen, priority: int) -> None:
        seen.waiting[priority] -= 1
        if seen.waiting[priority] <= 0:
            del seen.waiting[priority]
