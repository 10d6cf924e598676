"""That a log grows, told to whoever follows it: one look a moment for all followers of a log in this process.

While nobody follows a log nothing is read. Deliberately not here: what is in it (``stream``), HTTP.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from activities.stores.interfaces.logs import LogExtent, LogStore
from workflows.contracts.errors import HybridCIError

logger = logging.getLogger(__name__)
LOOK_SECONDS: Final = 0.3
_SLOWEST_SECONDS: Final = 2.0
"""Between two looks at a log that is slow to look at."""


@dataclass(slots=True)
class Watched:
    """One log as it was seen last: ``extent`` is None until it was. ``changed`` is set once, then replaced."""

    extent: LogExtent | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    followers: int = 0
    looking: asyncio.Task[None] | None = None


class LogGrowth:
    """The logs that are followed in one process. For one event loop."""

    def __init__(self, logs: LogStore) -> None:
        self._logs = logs
        self._watched: dict[tuple[str, int], Watched] = {}

    async def told(self, job_id: str, attempt: int) -> AsyncGenerator[LogExtent]:
        """How long it is, now and whenever it has become longer, until it is complete."""
        last: LogExtent | None = None
        async with self._followed(job_id, attempt) as watched:
            while last is None or not last.complete:
                changed = watched.changed
                if watched.extent is not None and watched.extent != last:
                    last = watched.extent
                    yield last
                    continue
                await changed.wait()

    @property
    def followed(self) -> int:
        """How many logs are."""
        return len(self._watched)

    @asynccontextmanager
    async def _followed(self, job_id: str, attempt: int) -> AsyncGenerator[Watched]:
        key = (job_id, attempt)
        watched = self._watched.setdefault(key, Watched())
        watched.followers += 1
        if watched.looking is None:
            watched.looking = asyncio.create_task(self._look(job_id, attempt, watched), name=f"log {job_id} {attempt}")
        try:
            yield watched
        finally:
            watched.followers -= 1
            if not watched.followers:
                watched.looking.cancel()
                del self._watched[key]

    async def _look(self, job_id: str, attempt: int, watched: Watched) -> None:
        now = asyncio.get_running_loop().time
        failing = False
        while watched.extent is None or not watched.extent.complete:
            began = now()
            try:
                extent = await self._logs.extent(job_id, attempt)
                if extent != watched.extent:
                    watched.extent = extent
                    watched.changed.set()
                    watched.changed = asyncio.Event()
                failing = False
            except HybridCIError as error:
                if not failing:
                    logger.warning("a log cannot be looked at; trying again", extra={"because": error.message})
                failing = True
            except Exception:  # followers wait for nobody else: the looking goes on
                logger.exception("looking at a log failed; trying again")
            await asyncio.sleep(min(max(LOOK_SECONDS, 4 * (now() - began)), _SLOWEST_SECONDS))
