"""Values that are dear to read and may be a little old: read once for all who ask, and again after a while.

What this process changes itself it forgets here, so that only others' changes are seen late.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from workflows.contracts.errors import HybridCIError

T = TypeVar("T")
logger = logging.getLogger(__name__)

_IDLE: Final = 20.0
"""Between two readings lies at least so many times the length of one: a dear one is read more seldom."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    read_at: float
    seconds: float  # how long it counts as new


class Cached(Generic[T]):
    """Values by key. For one event loop."""

    def __init__(
        self, read: Callable[[str], Awaitable[T]], seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._seconds, self._clock = read, seconds, clock
        self._entries: dict[str, _Entry[T]] = {}
        self._readings: dict[str, asyncio.Task[T]] = {}

    async def get(self, key: str, *, seconds: float = 0) -> T:
        """The value, at most twice as old as it may be: one that is only a little too old is read again beside.

        ``seconds``: this one may be older than others who ask can bear. Raises what reading it raises.
        """
        entry = self._entries.get(key)
        if entry is None:
            return await asyncio.shield(self._reading(key))
        age, allowed = self._clock() - entry.read_at, max(entry.seconds, seconds)
        if age >= allowed:
            reading = self._reading(key)
            if age >= 2 * allowed:
                return await asyncio.shield(reading)
        return entry.value

    def known(self, key: str) -> T | None:
        """The value as it was read last, however old."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def forget(self, key: str) -> None:
        """The next one who asks gets what is then read; a reading that is under way may have begun too early."""
        self._entries.pop(key, None)
        self._readings.pop(key, None)

    def _reading(self, key: str) -> "asyncio.Task[T]":
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = asyncio.create_task(self._read_now(key), name=f"read {key}")
            reading.add_done_callback(_look)
        return reading

    async def _read_now(self, key: str) -> T:
        began = self._clock()
        me = asyncio.current_task()
        try:
            value = await self._read(key)
        except BaseException:
            if self._readings.get(key) is me:
                del self._readings[key]
            raise
        if self._readings.get(key) is me:
            del self._readings[key]
            now = self._clock()
            self._entries[key] = _Entry(value, began, max(self._seconds, _IDLE * (now - began)))
        return value


def _look(reading: "asyncio.Task[T]") -> None:
    """Nobody may wait for it: a failure is told here, and by whoever asks next."""
    if not reading.cancelled() and (error := reading.exception()) is not None:
        level = logging.INFO if isinstance(error, HybridCIError) else logging.ERROR
        logger.log(level, "not read again: %s", error, exc_info=None if level == logging.INFO else error)
