"""Sending logs: each attempt's spool goes to the API in order, byte for byte, however often it has to be sent again.

New bytes leave within 250 ms; the log of a short job leaves as one request. Sending goes on after the attempt has been
reported, and what an agent could not send before it ended, the next one on the same state directory sends.
Deliberately not here: the files (``spool``) and HTTP (``control.api``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.control.api import ApiUnreachable, Backoff, ControlPlane, RequestRefused
from agent.logs.spool import Cut, LogSpool, SpoolDamagedError

_GATHER_SECONDS: Final = 0.2
_AT_ONCE: Final = 4
"""Chunks in memory at a time, 1 MiB each, so that many logs that wait for an API do not fill the agent."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogOrigin:
    """Whose log it is. ``key``: the attempt's ``delivery_key``, where it is known."""

    job_id: str
    attempt: int
    key: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UnsentLog:
    """The spool of a dead agent's attempt; ``sent`` is called when the API has all of it, or there was none."""

    origin: LogOrigin
    folder: Path
    sent: Callable[[], Awaitable[None]]


class LogShipper:
    """All logs of one agent. ``ship`` is called once per log."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._sending = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[LogOrigin, asyncio.Task[None]] = {}
        self._spools: dict[LogOrigin, LogSpool] = {}

    @property
    def unsent_bytes(self) -> int:
        """What the API has yet to take of the logs that are being sent. Readable from any thread."""
        return sum(max(0, spool.size - spool.sent) for spool in list(self._spools.values()))

    def ship(self, origin: LogOrigin, spool: LogSpool) -> asyncio.Task[None]:
        """Begin to send a log; the task ends when the API has all of it or has refused it for good."""
        task = asyncio.create_task(self._ship(origin, spool), name=f"ship the log of {origin}")
        self._tasks[origin], self._spools[origin] = task, spool
        task.add_done_callback(lambda done: self._forget(origin, done))
        return task

    async def ship_leftovers(self, leftovers: Sequence[UnsentLog]) -> None:
        """Send what dead agents left, one log after the other."""
        for leftover in leftovers:
            try:
                spool = LogSpool.take_over(leftover.folder)
                if spool is not None:
                    sending = self.ship(leftover.origin, spool)
                    await asyncio.wait({sending})
                    if sending.cancelled():
                        continue  # it stays for the next agent
                await leftover.sent()
            except OSError as error:
                logger.error("A log left in %s cannot be read: %s; it stays there", leftover.folder, error)

    async def forget(self, origin: LogOrigin) -> None:
        """Stop sending this log: another run of the same attempt takes its place."""
        task = self._tasks.get(origin)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def drain(self, seconds: float) -> int:
        """Wait until all is sent, ``seconds`` at most. Returns how many logs are left for the next agent to send."""
        tasks = set(self._tasks.values())
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        return len(pending)

    async def _ship(self, origin: LogOrigin, spool: LogSpool) -> None:
        backoff = Backoff(f"Sending the log of job {origin.job_id}, attempt {origin.attempt}")
        try:
            while True:
                await _something_worth_sending(spool)
                cut = spool.cut()
                spool.remember(cut)
                try:
                    await self._deliver(origin, spool, cut, backoff)
                except SpoolDamagedError:
                    logger.error("Of the log of job %s, attempt %d: %s", origin.job_id, origin.attempt, spool.cut_off)
                    continue
                spool.acknowledged(cut)
                if cut.final:
                    return
        except RequestRefused as error:
            logger.error("The log of job %s, attempt %d, is given up: %s", origin.job_id, origin.attempt, error)
        except OSError as error:
            logger.error("The log of job %s, attempt %d, cannot be read: %s", origin.job_id, origin.attempt, error)
        finally:
            spool.close()

    async def _deliver(self, origin: LogOrigin, spool: LogSpool, cut: Cut, backoff: Backoff) -> None:
        while True:
            try:
                async with self._sending:
                    data, sha256 = spool.read(cut)
                    await self._control_plane.put_log_chunk(
                        origin.job_id,
                        origin.attempt,
                        cut.start,
                        data,
                        marks=cut.marks,
                        final=cut.final,
                        sha256=sha256,
                        key=origin.key,
                    )
                backoff.succeeded()
                return
            except ApiUnreachable as error:
                await asyncio.sleep(backoff.failed(error))

    def _forget(self, origin: LogOrigin, done: asyncio.Task[None]) -> None:
        if self._tasks.get(origin) is done:
            del self._tasks[origin], self._spools[origin]
        if not done.cancelled() and done.exception() is not None:
            logger.error("Sending the log of %s ended unexpectedly", origin, exc_info=done.exception())


async def _something_worth_sending(spool: LogSpool) -> None:
    """Return at once when the log has ended or a full chunk waits, else a little after the first new byte."""
    await spool.fresh.wait()
    if not spool.urgent.is_set():
        try:
            async with asyncio.timeout(_GATHER_SECONDS):
                await spool.urgent.wait()
        except TimeoutError:
            return
