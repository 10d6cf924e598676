"""Which versions of the control plane's other processes are at work: workers as Temporal saw them ask for work,
gateways as this process heard them ask whose a token is.

A worker tells its version to Temporal as its build id, a gateway to the API in its ``User-Agent``; one of a version
that did not yet is not here. Deliberately not here: agents, which report theirs themselves (``agents``).
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from activities.clock import Clock, epoch_millis
from api.http.cached import Cached
from workflows.contracts.errors import Unavailable
from workflows.newest import Newest

WORKER, GATEWAY = "worker", "gateway"
KEPT_SECONDS: Final = 15.0
SILENT_MS: Final = 90_000
"""A worker's poll lasts 60 s at most, and a gateway asks every 20 s: who was silent for longer is not there."""
_GATEWAY: Final = re.compile(r"hybridci-gateway/([0-9][0-9A-Za-z.+-]{0,63})")
_VERSION: Final = re.compile(r"[0-9][0-9A-Za-z.+-]{0,63}")
_MOST_GATEWAYS: Final = 64
_ALL: Final = "workers"


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """A process. ``identity``: a worker's as Temporal shows it (process id and host), a gateway's address."""

    kind: str
    identity: str
    version: str
    seen_at: int


@dataclass(frozen=True, slots=True)
class WorkerPoll:
    """Who asks Temporal for a queue's work. ``build_id`` is empty where it tells none."""

    identity: str
    build_id: str
    asked_at: int


async def _nobody() -> list[WorkerPoll]:
    return []


class RunningVersions:
    """Of one API process. ``pollers``: those of the control workers' queue; a little old, so that no page waits."""

    def __init__(
        self, pollers: Callable[[], Awaitable[list[WorkerPoll]]] = _nobody, clock: Clock = epoch_millis
    ) -> None:
        self._clock = clock
        self._gateways: Newest[str, ProcessSeen] = Newest(_MOST_GATEWAYS)

        async def read(_: str) -> list[WorkerPoll]:
            return await pollers()

        self._workers = Cached(read, KEPT_SECONDS)

    def heard(self, user_agent: str | None, address: str) -> None:
        """Somebody asked whose a token is; remember it if that was a gateway."""
        found = _GATEWAY.fullmatch(user_agent or "")
        if found is not None:
            key = f"{address} {found[1]}"
            self._gateways[key] = ProcessSeen(kind=GATEWAY, identity=address, version=found[1], seen_at=self._clock())

    async def seen(self) -> list[ProcessSeen]:
        """Those of the last 90 s; no workers while Temporal does not answer, which is told elsewhere."""
        since = self._clock() - SILENT_MS
        try:
            pollers = await self._workers.get(_ALL)
        except Unavailable:
            pollers = []
        workers = [
            ProcessSeen(kind=WORKER, identity=each.identity, version=each.build_id, seen_at=each.asked_at)
            for each in sorted(pollers, key=lambda each: each.identity)
            if _VERSION.fullmatch(each.build_id)
        ]
        return [each for each in (*workers, *self._gateways.values()) if each.seen_at >= since]
