"""Events in the order in which they were kept: the rows of the feed, and how far somebody has read.

The feed has shards. In each the events are numbered from 1 without a gap, and a number is given in the transaction that
keeps its event. Deliberately not here: how numbers are given (the stores), who is told (``api.feed``).
"""

from collections.abc import Mapping, Sequence

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.base import Tolerant

Heads = Mapping[int, int]
"""By shard the number of its last event; a shard without an entry has none."""


class Position(Tolerant):
    """One event's place in the feed."""

    shard: int
    sequence: int


class FeedRow(Tolerant):
    """One event with its place. ``number``: of the events of its ``subject``, from 1. ``before``: the hash of the one
    before it, empty for the first, and ``after`` that one's place.
    """

    shard: int
    sequence: int
    subject: str
    number: int
    before: str = ""
    after: Position | None = None
    event: AuditEvent


def reached(position: Position | None, heads: Heads) -> bool:
    """Whether somebody who has read to ``heads`` has read what stands there."""
    return position is None or heads.get(position.shard, 0) >= position.sequence


def in_order(read: Heads, rows: Sequence[FeedRow]) -> list[FeedRow]:
    """Of these rows, those that can be shown to who has read to ``read``, in an order that keeps each subject's.

    ``rows`` follow on ``read`` in every shard. A row whose subject has an earlier one that is neither read nor among
    them waits, and what is behind it in its shard: the heads of two shards are not read in one moment.
    """
    waiting: dict[int, list[FeedRow]] = {}
    for row in sorted(rows, key=lambda row: (row.shard, row.sequence)):
        waiting.setdefault(row.shard, []).append(row)
    for queue in waiting.values():
        queue.reverse()
    at, shown = dict(read), list[FeedRow]()
    while True:
        ready = [queue for queue in waiting.values() if queue and _is_next(queue[-1], at)]
        if not ready:
            return shown
        row = min(ready, key=lambda queue: queue[-1].event.at).pop()
        at[row.shard] = row.sequence
        shown.append(row)


def _is_next(row: FeedRow, at: Heads) -> bool:
    return row.sequence == at.get(row.shard, 0) + 1 and reached(row.after, at)
