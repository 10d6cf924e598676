"""What a scaler says of itself to whoever watches it: its looks and its hook, where a place is set for it.

The scaler works without an event loop, so the listener has one of its own, on a thread: that the process answers says
that it lives, and ``/health/ready`` whether its last look and its hook went well. Deliberately not here: listening
(``workflows.monitoring``).
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from workflows.monitoring.address import MonitoringAddress

if TYPE_CHECKING:
    from prometheus_client import Counter

    from workflows.monitoring.listener import MonitoringListener

SETTING: Final = "HYBRIDCI_SCALER_METRICS_ADDRESS"
_LATE_SECONDS: Final = 120.0
"""A look and its hook may take 90 s together."""


class Look(StrEnum):
    """How a look at a pool went."""

    WELL = "well"
    API = "api"  # the API did not answer, or refused
    HOOK = "hook"  # the hook failed


class MonitoredScaler:
    """One scaler's pools. Nothing of this is loaded, and nothing counted, without an address."""

    def __init__(
        self, pools: Sequence[str], interval: float, wanted: Callable[[str], int | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """``interval`` in seconds; ``wanted``: how many agents the hook was told last, of a pool."""
        self._pools, self._interval, self._wanted, self._clock = pools, interval, wanted, clock
        self._last: dict[str, Look] = {}
        self._looked_at: float | None = None
        self._looks: Counter | None = None
        self._listener: MonitoringListener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def looked(self, pool: str, how: Look) -> None:
        """A look has ended."""
        self._last[pool], self._looked_at = how, self._clock()
        if self._looks is not None:
            self._looks.labels(pool, how.value).inc()

    def listen(self, address: MonitoringAddress) -> int:
        """From now on; returns the port. Raises ListenerError."""
        from prometheus_client import Counter

        from workflows.monitoring.figures import ProcessFigures
        from workflows.monitoring.health import ProcessHealth
        from workflows.monitoring.listener import MonitoringListener

        figures = ProcessFigures("scaler")
        told = {pool: lambda pool=pool: float(self._wanted(pool) or 0) for pool in self._pools}
        figures.read_each("hybridci_scaler_wanted_agents", "Agents that the hook was told last.", "pool", told)
        self._looks = Counter(
            "hybridci_scaler_looks",
            "Looks at a pool, by how they went.",
            ("pool", "outcome"),
            registry=figures.registry,
        )
        loop = asyncio.new_event_loop()
        self._loop, self._thread = loop, threading.Thread(target=loop.run_forever, name="monitoring-loop", daemon=True)
        self._thread.start()

        async def made() -> MonitoringListener:
            return MonitoringListener(address, SETTING, ProcessHealth(self.parts), figures.text)

        self._listener = asyncio.run_coroutine_threadsafe(made(), loop).result()
        return self._listener.port

    def close(self) -> None:
        """Say nothing more."""
        if self._listener is not None:
            self._listener.close()
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def parts(self) -> dict[str, Callable[[], Awaitable[str | None]]]:
        """What it needs, by name."""
        return {"work": self._work, "api": self._api, "hook": self._hook}

    async def _work(self) -> str | None:
        if self._looked_at is None:
            return "it has not looked at a pool yet"
        age = self._clock() - self._looked_at
        return None if age <= self._interval + _LATE_SECONDS else f"it has not looked at a pool for {age:.0f} s"

    async def _api(self) -> str | None:
        return self._failing(Look.API, "the API did not answer, or refused")

    async def _hook(self) -> str | None:
        return self._failing(Look.HOOK, "the hook failed, and is told again")

    def _failing(self, how: Look, words: str) -> str | None:
        pools = [pool for pool, last in self._last.items() if last is how]
        return f"{words}, for {', '.join(pools)}: what the scaler prints says why" if pools else None
