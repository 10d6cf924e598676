"""Keeping deliveries: what came and what came of it, with the body where it may be kept; of others only their number.

A delivery is kept once it is done and before it is answered: after a ``kill -9`` it is kept with its outcome, or its
tool has no answer and it can be sent again, which is safe. A store in trouble fails no delivery: then it is kept when
the store is back, as long as this process lives. Headers are kept that the provider's manifest reads, and no
signature; no body is kept that holds a secret of a webhook.
Deliberately not here: who may read them (``delivery_routes``), for how long they are kept (``stores.settings``).
"""

import asyncio
import hashlib
import logging
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from activities.clock import Clock
from activities.stores.interfaces.deliveries import DeliveryStore
from api.webhooks.decisions import Delivery, RuleDecision
from api.webhooks.loading import Provider
from api.webhooks.outcomes import ActionResult, ActionStatus
from workflows.contracts.deployments.deliveries import (
    MAX_BODY_BYTES,
    DeliveredAction,
    DeliveryOutcome,
    KeptDelivery,
    NotStarted,
)
from workflows.contracts.errors import Unavailable
from workflows.contracts.fields import shortened

logger = logging.getLogger(__name__)
_PATIENCE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 5.0
_MOST_WAITING: Final = 200
_COUNTED_EVERY_SECONDS: Final = 2.0
_SHORTEST_SECRET: Final = 6
_MOST_PASSED_OVER: Final = 50
_LONGEST_TEXT: Final = 1024
_LONGEST_OF_MANY: Final = 300
"""Of each service's part, since there can be a hundred and the record stands in the list of each."""
_NAMESPACE: Final = uuid.UUID("5f1e6f9c-7d55-4a5c-9a0e-0a8b6a1f9d10")
_waiting: Final[set[asyncio.Task[None]]] = set()


def kept_id(provider: str, event: str | None, delivery: str, body: bytes) -> str:
    """The same for the same delivery, however often it is sent."""
    digest = hashlib.sha256(body).hexdigest()
    return str(uuid.uuid5(_NAMESPACE, "\n".join((provider, event or "", delivery, digest))))


def kept(
    provider: Provider,
    delivery: Delivery,
    decision: RuleDecision,
    results: Sequence[ActionResult],
    *,
    delivery_id: str,
    message: str,
    at: int,
) -> KeptDelivery:
    """What is kept of it; ``at`` in ms."""
    facts = decision.facts[0] if decision.facts else None
    return KeptDelivery(
        delivery_id=delivery_id,
        provider=provider.name,
        delivery=delivery.delivery,
        event=delivery.event,
        at=at,
        last_at=at,
        repository=decision.repository,
        ref=None if facts is None else facts.tag or facts.branch or facts.ref,
        commit=None if facts is None else facts.commit,
        sender=provider.sender_of(delivery.payload, delivery.headers, delivery.query),
        rule=decision.rule,
        outcome=outcome_of(results),
        message=shortened(message, _LONGEST_TEXT),
        actions=[
            DeliveredAction(
                **result.model_dump(
                    mode="json",
                    include={"status", "action", "service_name", "environment", "version", "deployment_id", "job_id"},
                ),
                message=shortened(result.message, _LONGEST_OF_MANY),
            )
            for result in results
        ],
        passed_over=[
            NotStarted(service_name=each.service, why=shortened(each.why, _LONGEST_OF_MANY))
            for each in decision.passed_over[:_MOST_PASSED_OVER]
        ],
        headers={name: value[:_LONGEST_TEXT] for name, value in delivery.headers.items() if name in provider.reads},
    )


def outcome_of(results: Sequence[ActionResult]) -> DeliveryOutcome:
    """In one word."""
    if not results:
        return DeliveryOutcome.IGNORED
    done = any(result.status is ActionStatus.DONE for result in results)
    return DeliveryOutcome.ACCEPTED if done else DeliveryOutcome.REFUSED


def keepable(body: bytes, secrets: Sequence[str]) -> str:
    """Why the body is not kept; empty when it is."""
    if len(body) > MAX_BODY_BYTES:
        return f"It is larger than {MAX_BODY_BYTES // 1024} KiB."
    if any(len(secret) >= _SHORTEST_SECRET and secret.encode() in body for secret in secrets):
        return "It holds the secret of a webhook."
    return ""


class DeliveryKeeper:
    """Keeps the deliveries of one process."""

    def __init__(self, store: DeliveryStore, clock: Clock) -> None:
        self.store, self.clock = store, clock

    async def keep(self, delivery: KeptDelivery, body: bytes | None) -> None:
        """Keep it, added to what is known of the same one. Returns within a second or so, whatever the store does."""
        if len(_waiting) >= _MOST_WAITING:
            logger.error("a delivery is not kept: too many wait", extra={"provider": delivery.provider})
            return
        keeping = asyncio.create_task(self._keep(delivery, body), name="keeping a delivery")
        _waiting.add(keeping)
        keeping.add_done_callback(_waiting.discard)
        await asyncio.wait({keeping}, timeout=_PATIENCE_SECONDS)

    async def _keep(self, delivery: KeptDelivery, body: bytes | None) -> None:
        while True:
            try:
                known = await self.store.get(delivery.delivery_id)
                await self.store.keep(delivery if known is None else added(known, delivery), body)
            except Unavailable as error:
                logger.warning("a delivery is not kept yet: %s", error.message)
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:  # nobody waits for it: whatever is wrong must be seen
                logger.exception("a delivery cannot be kept", extra={"delivery": delivery.delivery_id})
                return
            else:
                return


def added(known: KeptDelivery, new: KeptDelivery) -> KeptDelivery:
    """The same delivery once more."""
    return new.model_copy(
        update={
            "at": known.at,
            "last_at": max(known.last_at, new.last_at),
            "received": known.received + new.received,
            "started_again": max(known.started_again, new.started_again),
            "headers": known.headers or new.headers,
        }
    )


class RefusedCounter:
    """Counts what is not genuine, by provider and day. Kept every few seconds: what an end of the process loses is a
    few of a number.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._keeping: asyncio.Task[None] | None = None

    def count(self, store: DeliveryStore, provider: str, now: int) -> None:
        """One more. ``now`` in ms."""
        self._counts.setdefault(day_of(now), Counter())[provider] += 1
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep(store), name="counting what is not genuine")

    async def _keep(self, store: DeliveryStore) -> None:
        await asyncio.sleep(_COUNTED_EVERY_SECONDS)
        for day in list(self._counts):
            counts = self._counts.pop(day)
            try:
                await store.count_refused(day, dict(counts))
            except Unavailable:
                self._counts.setdefault(day, Counter()).update(counts)


def day_of(now: int) -> str:
    """The day (UTC) of a time in ms."""
    return datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%d")
