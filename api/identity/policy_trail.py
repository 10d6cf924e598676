"""Which access policy this installation has, told in the audit trail when it is another one than before.

A policy comes from a file that each process follows: no request changes it, so no request could tell.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Final

from activities.clock import Clock
from activities.events.trail import noted
from activities.stores.interfaces.events import EventStore
from api.identity.policy import AccessPolicy
from workflows.contracts.audit.details import ConfigKnown
from workflows.contracts.audit.types import EventType
from workflows.contracts.errors import HybridCIError
from workflows.contracts.who import WhoAndWhy

logger = logging.getLogger(__name__)
NAME: Final = "access-policy"
_SUBJECT: Final = f"config/{NAME}"
_PAUSE_SECONDS: Final = 5.0


async def tell_policy(events: EventStore, policy: AccessPolicy, clock: Clock) -> None:
    """Until it is told. Nothing for an installation that never had a policy."""
    while True:
        try:
            return await _tell(events, policy, clock)
        except HybridCIError as error:
            logger.warning("the access policy is not in the audit trail yet: %s", error.message)
            await asyncio.sleep(_PAUSE_SECONDS)


async def follow_policy(events: EventStore, policy: Callable[[], AccessPolicy], clock: Clock) -> None:
    """Tell the one of now, and each after it, for ever."""
    told: AccessPolicy | None = None
    while True:
        if (present := policy()) is not told:
            await tell_policy(events, present, clock)
            told = present
        await asyncio.sleep(_PAUSE_SECONDS)


async def _tell(events: EventStore, policy: AccessPolicy, clock: Clock) -> None:
    last = await events.last_of(_SUBJECT)
    if last is None and policy == AccessPolicy():
        return
    digest = hashlib.sha256(policy.model_dump_json().encode()).hexdigest()
    before = None if last is None else str(last.event.details.get("digest"))
    if before == digest:
        return
    kind = EventType.CONFIG_INSTALLED if last is None else EventType.CONFIG_UPDATED
    said = ConfigKnown(kind=kind, name=NAME, digest=digest, before=before)
    # Two processes that start at once say the same, once.
    event_id = f"config-{NAME}-{1 if last is None else last.number + 1}-{digest[:16]}"
    itself = WhoAndWhy(by="configuration", via="workflow")
    await events.append(noted(said, itself, clock(), f"The access policy is {digest[:12]}.", event_id=event_id))
