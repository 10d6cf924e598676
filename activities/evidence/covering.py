"""Which seal covers an event: found by the event's place in the feed, without reading all seals."""

from typing import Final

from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.evidence import EvidenceStore
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.audit.seals import SignedSeal
from workflows.contracts.audit.subjects import subject_of

_LOOKED_BACK: Final = 1_000


async def covering_seal(events: EventStore, evidence: EvidenceStore, event: AuditEvent) -> SignedSeal | None:
    """The first seal that covers the event; None: none does yet, or the event has no number. Raises Unavailable.

    The signature is not looked at: that is for whoever verifies.
    """
    row = await _row_of(events, event)
    last = await evidence.last_seal()
    if row is None or last is None or not _covers(last, row):
        return None
    low, high = 0, last.number  # ``low`` does not cover it; the first one from ``high`` on does
    while high - low > 1:
        middle = (low + high) // 2
        found = (await evidence.seals(middle - 1, 1))[0]
        low, high = (low, middle) if _covers(found, row) else (found.number, high)
    return next(iter(await evidence.seals(low, 1)), None)


async def _row_of(events: EventStore, event: AuditEvent) -> FeedRow | None:
    """From its subject's last event backwards."""
    row = await events.last_of(subject_of(event))
    for _ in range(_LOOKED_BACK):
        if row is None or row.event.event_id == event.event_id:
            return row
        before = row.after
        if before is None:
            return None
        row = next(iter(await events.rows(before.shard, before.sequence - 1, before.sequence)), None)
    return None


def _covers(kept: SignedSeal, row: FeedRow) -> bool:
    try:
        return kept.seal.sealed_heads.get(row.shard, 0) >= row.sequence
    except ValueError:
        return False
