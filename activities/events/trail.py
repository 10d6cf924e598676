"""The event of a change that a store keeps together with it.

Deliberately not here: who may ask for it (``api.auth``), how an event is kept (the stores, in the record's
transaction), what workflows note (they have ids of their own making).
"""

import uuid

from workflows.contracts.audit.details import Details
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.who import WhoAndWhy


def noted(
    what: EventType | Details,
    asked: WhoAndWhy,
    at: int,
    message: str,
    *,
    event_id: str | None = None,
    agent_id: str | None = None,
    pool: str | None = None,
) -> AuditEvent:
    """What was done at ``at`` (epoch ms). Without an ``event_id``, each call makes another event."""
    return new_event(
        what,
        asked,
        event_id=event_id or str(uuid.uuid4()),
        at=at,
        agent_id=agent_id,
        pool=pool,
        reason=asked.reason,
        message=message,
    )
