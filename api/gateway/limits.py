"""Bounds that keep one caller from hurting the others: how often, how many at once, how much is logged.

All are counted in this process; each gateway of several counts for itself.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Final

from api.gateway.refusals import too_much
from workflows.newest import Newest

_MAX_KEYS: Final = 10_000
_LOG_EVERY_SECONDS: Final = 30.0


class Bucket:
    """So many at once, then so many a second, for each key."""

    def __init__(self, *, burst: float, per_second: float, clock: Callable[[], float]) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left: Newest[str, tuple[float, float]] = Newest(_MAX_KEYS)

    def has(self, key: str) -> bool:
        """True when there is one left."""
        return self._filled(key) >= 1

    def take(self, key: str) -> None:
        """One less."""
        self._left[key] = (max(0.0, self._filled(key) - 1), self._clock())

    def _filled(self, key: str) -> float:
        left, at = self._left.get(key, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - at) * self._per_second)


class AtOnce:
    """At most so many at once for each key."""

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._running: Counter[str] = Counter()

    @property
    def keys(self) -> int:
        """How many keys have one open."""
        return len(self._running)

    @property
    def open(self) -> int:
        """How many are open in all. Readable from any thread."""
        return sum(list(self._running.values()))

    @contextlib.contextmanager
    def one(self, key: str) -> Generator[None]:
        """One for the length of the context. Raises Refused."""
        if self._running[key] >= self._most:
            raise too_much(f"{key} has {self._most} {self._what} open already: let some of them end first.")
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]


class Seldom:
    """Lets a line about the same thing into the log every 30 s only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: Newest[str, tuple[float, int]] = Newest(_MAX_KEYS)

    def may(self, what: str) -> int | None:
        """None: not now. Else how many were left out since the last."""
        now = self._clock()
        at, left_out = self._told.get(what, (-_LOG_EVERY_SECONDS, 0))
        if now - at < _LOG_EVERY_SECONDS:
            self._told[what] = (at, left_out + 1)
            return None
        self._told[what] = (now, 0)
        return left_out
