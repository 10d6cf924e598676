"""What a store of the audit trail does."""

import builtins
from typing import Protocol

from workflows.contracts.audit.events import AuditEvent, EventPage, EventQuery
from workflows.contracts.audit.feed import FeedRow


class EventStore(Protocol):
    """The audit trail. Append-only: events are written with the records they belong to, or here alone.

    Each event has a place in the feed: the next number of one of its shards, given together with the event, so that
    there is never a gap. Events that were kept before there was a feed are in the lists only.
    """

    async def append(self, event: AuditEvent) -> None:
        """Keep an event that belongs to no record. The same ``event_id`` again changes nothing."""
        ...

    async def list(self, query: EventQuery) -> EventPage:
        """Newest first by ``at``. Raises ValidationFailed for a cursor that this query did not hand out."""
        ...

    async def heads(self) -> builtins.dict[int, int]:
        """By shard the last number given; one consistent read, whatever the number of shards, but not of one moment."""
        ...

    async def rows(self, shard: int, behind: int, upto: int) -> builtins.list[FeedRow]:
        """The events of a shard with numbers above ``behind``, up to ``upto``, in order.

        It may end before ``upto``: go on from its last. Empty when the next one cannot be read yet.
        """
        ...

    async def last_of(self, subject: str) -> FeedRow | None:
        """A subject's last event; None for one without an event since there is a feed."""
        ...
