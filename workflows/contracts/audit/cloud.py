"""An event in the form of CloudEvents 1.0, as it leaves the system.

``type``, ``subject``, ``time`` and ``data`` say what an event of the trail says; ``sequence``, ``previous`` and
``position`` are extensions, known of what has a place in the feed. Source: https://github.com/cloudevents/spec.
Deliberately not here: how an event is kept (``events``).
"""

from datetime import UTC, datetime

from pydantic import Field

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.audit.subjects import subject_of
from workflows.contracts.base import Tolerant


class CloudEvent(Tolerant):
    """One event. ``id`` is unique within ``source``, the installation. ``time`` is RFC 3339, UTC.

    ``sequence``: its number among those of its subject; ``previous``: the hash of the one before. ``position``: how far
    a follower has read with it; to go on behind it, send it as ``Last-Event-ID``.
    """

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    sequence: str | None = None
    previous: str | None = None
    position: str | None = None
    data: AuditEvent


class CloudEventPage(Tolerant):
    """One page of a list, newest first. ``stopped_early``, ``looked_at``: as of every page (``records.Page``)."""

    items: list[CloudEvent]
    next_cursor: str | None = None
    stopped_early: bool = False
    looked_at: int | None = Field(default=None, exclude_if=lambda value: value is None)


def cloud_event(event: AuditEvent, installation: str) -> CloudEvent:
    """The event of a list. ``installation``: its name, as ``development``."""
    return CloudEvent(
        id=event.event_id,
        source=f"/hybridci/{installation}",
        type=event.action,
        subject=subject_of(event),
        time=datetime.fromtimestamp(event.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        data=event,
    )


def followed_event(row: FeedRow, installation: str, position: str) -> CloudEvent:
    """The event of the feed, with its place."""
    known = {"subject": row.subject, "sequence": str(row.number), "previous": row.before or None, "position": position}
    return cloud_event(row.event, installation).model_copy(update=known)
