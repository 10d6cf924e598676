"""What the audit trail tells of deliveries: those that did something, those that no rule is for, and refused ones.

A delivery is told once, however often it is sent. One that is not genuine has no name that could be believed: of these
the trail tells the first of a minute from each network, so that nobody can fill it from outside.

No answer waits for a store in trouble, which would have what was done sent again: then it is told when the store is
back, as long as this process lives. What a delivery did has events of its own, with the records that it changed.
"""

import asyncio
import hashlib
import logging
import uuid
from typing import Final

from activities.clock import Clock
from activities.events.trail import noted
from activities.stores.interfaces.events import EventStore
from api.http.addresses import network_of
from workflows.contracts.audit.details import WebhookTold
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.types import EventType
from workflows.contracts.errors import Unavailable
from workflows.contracts.who import WhoAndWhy
from workflows.newest import Newest

logger = logging.getLogger(__name__)
_MINUTE_MILLIS: Final = 60_000
_PATIENCE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 5.0
_MOST_WAITING: Final = 1_000
_MAX_KNOWN: Final = 5_000
_waiting: Final[set[asyncio.Task[None]]] = set()
_refused: Final[Newest[tuple[str, str], int]] = Newest(_MAX_KNOWN)


class DeliveryTrail:
    """Tells of the deliveries of one request."""

    def __init__(self, events: EventStore, clock: Clock, address: str | None) -> None:
        self._events, self._clock, self._address = events, clock, address

    async def answered(self, said: WebhookTold, reason: str) -> None:
        """A delivery was genuine, and this came of it."""
        digest = hashlib.sha256(f"{said.provider}:{said.delivery}".encode()).hexdigest()[:32]
        await self._note(said, reason, f"webhook-{digest}-{said.event.word}")

    async def not_genuine(self, provider: str, reason: str) -> None:
        """Somebody without the secret, or a repetition that is too old."""
        minute, known = self._clock() // _MINUTE_MILLIS, (provider, network_of(self._address))
        if _refused.get(known) == minute:
            return
        _refused[known] = minute
        await self._note(WebhookTold(kind=EventType.WEBHOOK_REFUSED, provider=provider), reason, str(uuid.uuid4()))

    async def _note(self, said: WebhookTold, reason: str, event_id: str) -> None:
        by = f"webhook:{said.provider}"
        who = WhoAndWhy(by=by, via=by, address=self._address)
        if len(_waiting) >= _MOST_WAITING:
            logger.error("a delivery is not told in the audit trail: too many wait", extra={"provider": said.provider})
            return
        telling = asyncio.create_task(
            self._tell(noted(said, who, self._clock(), reason[:1000], event_id=event_id)), name="telling of a delivery"
        )
        _waiting.add(telling)
        telling.add_done_callback(_waiting.discard)
        if said.event is not EventType.WEBHOOK_RECEIVED:  # what was done is told by events of its own already
            await asyncio.wait({telling}, timeout=_PATIENCE_SECONDS)

    async def _tell(self, event: AuditEvent) -> None:
        while True:
            try:
                return await self._events.append(event)
            except Unavailable as error:
                logger.warning("a delivery is not told in the audit trail yet: %s", error.message)
                await asyncio.sleep(_PAUSE_SECONDS)
