"""What the audit trail tells of deliveries: those that did something, those that no rule is for, and refused ones.

A delivery is told once, however often it is sent. One that is not genuine has no name that could be believed: of these
the trail tells the first of a minute from each network, so that nobody can fill it from outside.
"""

import hashlib
import uuid
from typing import Final

from activities.clock import Clock
from activities.events.trail import noted
from activities.stores.interfaces import EventStore
from api.http.addresses import network_of
from workflows.contracts.audit.details import WebhookTold
from workflows.contracts.audit.types import EventType
from workflows.contracts.who import WhoAndWhy
from workflows.newest import Newest

_MINUTE_MILLIS: Final = 60_000
_MAX_KNOWN: Final = 5_000
_refused: Final[Newest[tuple[str, str], int]] = Newest(_MAX_KNOWN)


class DeliveryTrail:
    """Tells of the deliveries of one request."""

    def __init__(self, events: EventStore, clock: Clock, address: str | None) -> None:
        self._events, self._clock, self._address = events, clock, address

    async def answered(self, said: WebhookTold, reason: str) -> None:
        """A delivery was genuine, and this came of it. Raises Unavailable: then it must be sent again."""
        digest = hashlib.sha256(f"{said.provider}:{said.delivery}".encode()).hexdigest()[:32]
        await self._note(said, reason, f"webhook-{digest}-{said.event.word}")

    async def not_genuine(self, provider: str, reason: str) -> None:
        """Somebody without the secret, or a repetition that is too old. Raises Unavailable."""
        minute, known = self._clock() // _MINUTE_MILLIS, (provider, network_of(self._address))
        if _refused.get(known) == minute:
            return
        await self._note(WebhookTold(kind=EventType.WEBHOOK_REFUSED, provider=provider), reason, str(uuid.uuid4()))
        _refused[known] = minute

    async def _note(self, said: WebhookTold, reason: str, event_id: str) -> None:
        by = f"webhook:{said.provider}"
        who = WhoAndWhy(by=by, via=by, address=self._address)
        await self._events.append(noted(said, who, self._clock(), reason[:1000], event_id=event_id))
