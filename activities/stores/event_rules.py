"""Which audit events can be kept, the same for every store."""

from typing import Final, NoReturn

from activities.stores.cursors import MAX_ID_CHARACTERS
from activities.stores.documents import dump_event
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.errors import FieldError, ValidationFailed

MAX_EVENT_BYTES: Final = 32 * 1024
"""An event is kept in three lists, and up to 20 of them go into one transaction, of at most 4 MB."""


def check_event(event: AuditEvent) -> str:
    """The event's document. Raises ValidationFailed, naming the field, for an event that cannot be kept."""
    if not 0 < len(event.event_id) <= MAX_ID_CHARACTERS:
        _refuse(event, "event_id", f"must have 1 to {MAX_ID_CHARACTERS} characters")
    document = dump_event(event)
    size = len(document.encode())
    if size > MAX_EVENT_BYTES:
        _refuse(event, "details", f"make the event {size} bytes long; at most {MAX_EVENT_BYTES} can be stored")
    return document


def _refuse(event: AuditEvent, field: str, problem: str) -> NoReturn:
    raise ValidationFailed(
        f"The event {event.action} ({event.event_id[:80]!r}) cannot be kept: its {field} {problem}.",
        [FieldError(field=f"events.{field}", message=problem)],
    )
