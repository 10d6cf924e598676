"""What a page reads twice is read once: of the reads within one ``Once``, the same question is asked of the store once.

A page is put together from several answers that look at the same records (a deployment, who may approve it, its events;
the queue's counters). They are of one moment so, too. Only what is asked within ``asking`` takes part, and only for a
second: a task that outlives the page reads anew.

Deliberately not here: keeping anything from one page to the next, and anything that writes.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from activities.chaining.chains import NamedChain, run_chain

T = TypeVar("T")
_SECONDS: Final = 1.0


class Once:
    """The reads of one page. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._until = clock, clock() + _SECONDS
        self._reads: dict[tuple[int, str], asyncio.Task[Any]] = {}

    @property
    def over(self) -> bool:
        """Whoever asks now wants to know how it is now."""
        return self._clock() >= self._until

    async def read(self, chain: NamedChain, data: Mapping[str, object], *, result: str, kind: type[T]) -> T:
        """As ``run_chain``; what is being read or was read already is what it was."""
        key = id(chain), repr(data)
        reading: asyncio.Task[T] | None = self._reads.get(key)
        if reading is None:
            reading = asyncio.create_task(run_chain(chain, data, result=result, kind=kind), name=f"read {chain.name}")
            reading.add_done_callback(_look)
            self._reads[key] = reading
        return await asyncio.shield(reading)  # whoever stops waiting does not end it for the others


_ASKING: Final[ContextVar[Once | None]] = ContextVar("asking_once", default=None)


@contextmanager
def asking(once: Once | None) -> Generator[None]:
    """What is read in here is read once. None: as often as it is asked for."""
    token = _ASKING.set(once)
    try:
        yield
    finally:
        _ASKING.reset(token)


async def read_chain(chain: NamedChain, data: Mapping[str, object], *, result: str, kind: type[T]) -> T:
    """``run_chain`` of a chain that only reads. What it returns may be shared: it must not be changed."""
    once = _ASKING.get()
    if once is None or once.over:
        return await run_chain(chain, data, result=result, kind=kind)
    return await once.read(chain, data, result=result, kind=kind)


def _look(reading: "asyncio.Task[Any]") -> None:
    """Nobody may wait for it any more."""
    if not reading.cancelled():
        reading.exception()
