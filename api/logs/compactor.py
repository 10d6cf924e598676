"""Which logs have become many pieces, and making few of them: one log at a time, beside everything else.

What is wanted stands in memory only: a process that dies forgets it, and loses nothing by that. The log's next piece or
its next reader asks again. Deliberately not here: how it is done (``activities.stores.s3.compaction``).
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from activities.stores.interfaces.logs import LogChunk, LogStore
from workflows.contracts.errors import HybridCIError
from workflows.newest import Newest

logger = logging.getLogger(__name__)

MANY: Final = 512
"""Pieces after which a log that grows is compacted: a listing has 1,000."""
_MANY_BYTES: Final = 16 << 20
_FEW: Final = 16
_MOST_LOGS: Final = 10_000
_MOST_WAITING: Final = 1_000

Log = tuple[str, int]


class LogCompactor:
    """One process's. ``stored`` and ``wanted`` never wait; what they ask for happens while ``running``."""

    def __init__(self) -> None:
        self._since: Newest[Log, tuple[int, int, int]] = Newest(_MOST_LOGS)
        self._seen: Newest[Log, None] = Newest(_MOST_LOGS)
        self._waiting: dict[Log, None] = {}
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    def stored(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        """A piece was stored by this process."""
        log = job_id, attempt
        pieces, size, ever = self._since.get(log, (0, 0, 0))
        pieces, size, ever = pieces + 1, size + len(chunk.data), ever + 1
        if pieces >= MANY or size >= _MANY_BYTES or (chunk.final and ever > _FEW):
            self._want(log)
            pieces, size = 0, 0
        if chunk.final:
            self._since.pop(log, None)
        else:
            self._since[log] = pieces, size, ever

    def wanted(self, job_id: str, attempt: int) -> None:
        """Somebody reads the log of an ended attempt, which may have been left as it was. Looked at once."""
        if (job_id, attempt) not in self._seen:
            self._want((job_id, attempt))

    @asynccontextmanager
    async def running(self, logs: LogStore) -> AsyncGenerator[None]:
        """Does what is wanted while the context is entered."""
        working = asyncio.create_task(self._work(logs), name="compact logs")
        try:
            yield
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def settle(self) -> None:
        """Wait until nothing is wanted."""
        await self._idle.wait()

    def _want(self, log: Log) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._waiting[log] = None
            self._idle.clear()
            self._wake.set()

    async def _work(self, logs: LogStore) -> None:
        while True:
            await self._wake.wait()
            log = next(iter(self._waiting))
            del self._waiting[log]
            if not self._waiting:
                self._wake.clear()
            began = time.monotonic()
            try:
                await logs.compact(*log)
                self._seen[log] = None
            except HybridCIError as error:
                logger.info("a log was not compacted", extra={"job_id": log[0], "error": error.message})
            except Exception:
                logger.exception("a log could not be compacted", extra={"job_id": log[0]})
            if not self._waiting:
                self._idle.set()
            await asyncio.sleep(time.monotonic() - began)  # half of the time belongs to the requests
