"""What a process says of itself: the parts that it needs, each well or not, and why. Asked seldom, however often told.

Deliberately not here: how it is asked (``listener``), what the API says of the whole installation (``api.system``).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

logger = logging.getLogger(__name__)

PartCheck = Callable[[], Awaitable[str | None]]
"""None when the part is well, else a sentence that says what is wrong and what to do. No secret, no address."""
FRESH_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class PartsHealth:
    """``wrong``: why this process cannot do its work, by part. ``noted``: what somebody should see to all the same."""

    wrong: Mapping[str, str]
    noted: Mapping[str, str]


@dataclass(slots=True, eq=False)
class ProcessHealth:
    """The parts of one process. For one event loop.

    ``needed`` by name; ``notes``: what is asked at once and makes nothing unready, such as a key file that is broken.
    """

    needed: Mapping[str, PartCheck]
    notes: Callable[[], Mapping[str, str]] = dict
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, str] = field(default_factory=dict[str, str], init=False)
    _asked_at: float = field(default=float("-inf"), init=False)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def now(self) -> PartsHealth:
        """At most ``FRESH_SECONDS`` old."""
        async with self._asking:
            if self.clock() - self._asked_at >= FRESH_SECONDS:
                names = list(self.needed)
                answers = await asyncio.gather(*(self._ask(name) for name in names))
                self._known = {name: why for name, why in zip(names, answers, strict=True) if why is not None}
                self._asked_at = self.clock()
        return PartsHealth(self._known, self.notes())

    async def _ask(self, name: str) -> str | None:
        try:
            return await asyncio.wait_for(self.needed[name](), _CHECK_SECONDS)
        except TimeoutError:
            return f"did not answer within {_CHECK_SECONDS:.0f} s"
        except Exception as error:
            logger.warning("not ready", extra={"part": name, "reason": str(error)})
            return "does not answer; this process's log says more"
