"""Many small waits at once, but not too many: the shared store and Temporal serve others too."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 8


async def gather_bounded(
    call: Callable[[T], Awaitable[R]], items: Iterable[T], *, at_once: int = AT_ONCE
) -> list[R | Exception]:
    """The answers in the order of ``items``; a call that raised leaves its exception in its place.

    Being cancelled cancels what runs and raises CancelledError.
    """
    slots = asyncio.Semaphore(at_once)

    async def one(item: T) -> R | Exception:
        async with slots:
            try:
                return await call(item)
            except Exception as error:  # handed to the caller, who knows which ones it can bear
                return error

    return await asyncio.gather(*(one(item) for item in items))
