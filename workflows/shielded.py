"""A workflow's body that a cancellation from the Temporal UI cannot break off in the middle.

Whoever cancels in the UI would stop the body wherever it awaits: records half written, a lock kept. So the body runs
shielded, and the cancellation becomes what the workflow makes of it: a job's and a deployment's cancel command, an
environment's refusal. Deliberately not here: what each makes of it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def shielded(body: Coroutine[Any, Any, T], on_cancel: Callable[[], None]) -> T:
    """The body's result. ``on_cancel`` is called for each cancellation that comes while it runs."""
    running = asyncio.create_task(body)
    while True:
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.done():  # the body's own end
                raise
            on_cancel()
