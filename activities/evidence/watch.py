"""The sealer's loop in a control worker: every minute it seals what is new and sends the seals elsewhere.

Each worker with the key has one; they do not talk to each other (``sealer``). A worker without the key seals nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from activities.clock import Clock
from activities.evidence.elsewhere import CopyRefusedError, Elsewhere, SealsFile, SealsUrl, copy_seals
from activities.evidence.keys import SealKeys
from activities.evidence.sealer import Sealer
from activities.stores.interfaces.evidence import EvidenceStore
from workflows.contracts.errors import HybridCIError

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60.0
_SEALS_A_TICK: Final = 400
"""A million events."""
NO_KEY: Final = (
    "without HYBRIDCI_SEAL_KEY_FILE this worker seals no events: nobody can tell later whether the audit trail was"
    " changed; `hybridci audit keygen` makes a key"
)


class SealWatch:
    """Seals and sends. For one event loop."""

    def __init__(self, sealer: Sealer, places: Sequence[Elsewhere] = ()) -> None:
        self._sealer, self._places = sealer, places
        self._failing: set[str] = set()

    async def run(self, *, every: float = EVERY_SECONDS) -> None:
        """Tick until it is cancelled."""
        while True:
            await self.tick()
            await asyncio.sleep(every)

    async def tick(self) -> None:
        """Once. What does not answer is told once, and tried again with the next tick."""
        await self._try("seal", self._seal)
        for number, place in enumerate(self._places, start=1):
            await self._try(
                f"{type(place).__name__} {number}", lambda place=place: copy_seals(self._sealer.store, place)
            )

    async def _seal(self) -> None:
        for _ in range(_SEALS_A_TICK):
            if await self._sealer.seal_new() is None:
                return

    async def _try(self, what: str, call: Callable[[], Awaitable[object]]) -> None:
        try:
            await call()
        except (HybridCIError, CopyRefusedError, OSError) as error:
            if what not in self._failing:
                logger.warning("seals wait; trying again", extra={"at": what, "because": str(error)})
            self._failing.add(what)
        except Exception:  # of no use to anybody else: the worker goes on
            logger.exception("the sealer failed; trying again")
        else:
            self._failing.discard(what)


def open_watch(store: EvidenceStore, key: SealKeys, clock: Clock, file: Path | None, url: str | None) -> SealWatch:
    """The loop of a worker. ``file`` and ``url``: where copies go; the file's last seal is remembered.

    Raises OSError for a file that cannot be read.
    """
    kept = None if file is None else SealsFile(file)
    places: list[Elsewhere] = [] if kept is None else [kept]
    if url is not None:
        places.append(SealsUrl(url, store))
    return SealWatch(Sealer(store, key, clock, remembered=None if kept is None else kept.last()), places)
