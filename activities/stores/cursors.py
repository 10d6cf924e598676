"""Opaque cursors of lists: where each part of a list goes on, bound to the filters of its query.

A list is read from one or more shards, each newest first. A cursor holds each shard's position (the last item taken; an
empty id stands for all of that moment) and the time of the last item shown, so that a shard nothing was taken from
yet starts there and not at newer items. A list by name has one shard, and 0 for every time.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, NoReturn

from pydantic import Field, ValidationError

from workflows.contracts.access import CredentialKind
from workflows.contracts.agents import AgentQuery
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.deployments.deliveries import DeliveryQuery
from workflows.contracts.deployments.deployment import DeploymentQuery
from workflows.contracts.deployments.metrics import MetricsQuery
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.contracts.records import JobQuery

MAX_ID_CHARACTERS: Final = 256
"""The longest id of anything in a list."""
_SINCE_THEN: Final = ("cause", "job_id", "since", "until")
_ADDED: Final[Mapping[type, tuple[str, ...]]] = {
    EventQuery: ("environment", "pool"),
    JobQuery: ("repository", "branch", "commit", "service", "author", "labels", *_SINCE_THEN),
    DeploymentQuery: ("branch", "commit", "author", "waits"),
}
"""What lists could not be asked for before leaves their cursors of before as they are."""

_Time = Annotated[int, Field(ge=0, lt=1 << 53)]
_Id = Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]


class ServiceQuery(Tolerant):
    """A list of services; they have no filters."""

    services: Literal["by name"] = "by name"
    limit: int
    cursor: str | None = None


class CredentialQuery(Tolerant):
    """A list of the credentials of one kind."""

    kind: CredentialKind
    limit: int
    cursor: str | None = None


ListQuery = (
    JobQuery | DeploymentQuery | EventQuery | ServiceQuery | CredentialQuery | AgentQuery | DeliveryQuery | MetricsQuery
)


@dataclass(frozen=True, slots=True)
class Positions:
    """Where a list goes on: by shard (time, id) of the last item taken, and ``shown_to``, both in ms."""

    shards: dict[int, tuple[int, str]] = field(default_factory=dict[int, tuple[int, str]])
    shown_to: int | None = None


class _Cursor(Frozen):
    q: str
    at: _Time | None = None
    s: dict[Annotated[int, Field(ge=0, lt=64)], tuple[_Time, _Id]] = Field(
        default_factory=dict[int, tuple[int, str]], max_length=64
    )


def encode_cursor(query: ListQuery, positions: Positions) -> str:
    """The cursor that goes on from these positions."""
    cursor = _Cursor(q=_digest(query), at=positions.shown_to, s=positions.shards)
    return base64.urlsafe_b64encode(cursor.model_dump_json().encode()).decode().rstrip("=")


def decode_cursor(query: ListQuery) -> Positions:
    """The positions in the query's cursor; the beginning when it has none. Raises ValidationFailed."""
    if query.cursor is None:
        return Positions()
    try:
        padded = query.cursor + "=" * (-len(query.cursor) % 4)
        cursor = _Cursor.model_validate_json(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (ValidationError, binascii.Error, UnicodeError):
        _refuse("is not a cursor of this API; take next_cursor of a previous page as it is, or leave it out")
    if cursor.q != _digest(query):
        _refuse("belongs to a list with other filters; keep the filters of its first page, or leave it out")
    return Positions(dict(cursor.s), cursor.at)


def _digest(query: ListQuery) -> str:
    unasked = {name for name in _ADDED.get(type(query), ()) if not getattr(query, name)}
    filters = json.dumps(query.model_dump(mode="json", exclude={"limit", "cursor", *unasked}), sort_keys=True)
    return hashlib.sha256(filters.encode()).hexdigest()[:16]


def _refuse(why: str) -> NoReturn:
    raise ValidationFailed(f"The cursor {why}.", [FieldError(field="cursor", message=why)]) from None
