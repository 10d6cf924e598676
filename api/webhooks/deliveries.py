"""Deliveries that were answered, so that the same one again gets the same answer; and the services rules look up.

In memory: it makes repetitions cheap and lets two that come at once act once. What is remembered for good is in the
records: ids that follow from the delivery, and marks in the audit trail (``actions``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

from api.webhooks.repositories import KnownService
from workflows.newest import Newest

T = TypeVar("T")
MAX_REMEMBERED: Final = 5000
FRESH_SECONDS: Final = 5.0
_JUST_READ_SECONDS: Final = 0.5


class Deliveries(Generic[T]):
    """Answers by delivery. The oldest are forgotten when there are too many."""

    def __init__(self, capacity: int = MAX_REMEMBERED) -> None:
        self._answers: Newest[str, T] = Newest(capacity)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def once(self, key: str, act: Callable[[], Awaitable[tuple[T, bool]]]) -> tuple[T, bool]:
        """The answer, and whether it is a repetition. ``act`` says whether its answer is to be remembered.

        One at a time for each key; what ``act`` raises is not remembered.
        """
        lock = self._locks.get(key)
        if lock is None:
            lock = asyncio.Lock()
            self._locks[key] = lock
        async with lock:
            if key in self._answers:
                return self._answers[key], True
            answer, remember = await act()
            if remember:
                self._answers[key] = answer
            return answer, False


class ServiceCache:
    """The registered services, read at most every few seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._known: list[KnownService] = []
        self._read_at = float("-inf")

    async def known(self, load: Callable[[], Awaitable[list[KnownService]]]) -> list[KnownService]:
        """As they were in the last seconds."""
        return await self._younger_than(FRESH_SECONDS, load)

    async def fresh(self, load: Callable[[], Awaitable[list[KnownService]]]) -> list[KnownService] | None:
        """As they are now, for a service that was registered a moment ago; None when they were just read."""
        before = self._read_at
        known = await self._younger_than(_JUST_READ_SECONDS, load)
        return None if self._read_at == before else known

    async def _younger_than(
        self, seconds: float, load: Callable[[], Awaitable[list[KnownService]]]
    ) -> list[KnownService]:
        async with self._lock:
            if self._monotonic() - self._read_at >= seconds:
                self._known = await load()
                self._read_at = self._monotonic()
            return self._known
