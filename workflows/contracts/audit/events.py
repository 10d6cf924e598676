"""The audit trail: an event as it is written, kept and read, and how lists of them are asked for.

``new_event`` alone makes one. All times are epoch milliseconds, UTC. Deliberately not here: what can happen (``types``)
and what it says besides (``details``).
"""

from typing import Any, TypedDict, Unpack

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from workflows.contracts.audit.details import WITH_DETAILS, Details
from workflows.contracts.audit.types import EventType, is_refusal
from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis, shortened
from workflows.contracts.identity.proofs import Claim
from workflows.contracts.who import Message, Who


class AuditEvent(Tolerant):
    """Who did what, when, from where, why. Append-only; ``event_id`` is unique and tells a repeated write.

    ``action`` is an ``EventType``'s word; one that this version does not know is read all the same. ``refused``: it was
    asked for and nothing was done; events of versions that did not write it are known by their word. ``by``, ``via``,
    ``address``, ``role``, ``key_id``: as in ``Who``; ``via`` temporal: it was sent straight there, so nobody knows that
    ``by`` asked for it. ``claim``: whose word it is, until it is written down.
    """

    event_id: str
    at: Millis
    action: str
    by: str = ""
    via: str = ""
    address: str | None = None
    role: str | None = None
    key_id: str | None = None
    service_name: str | None = None
    environment: str | None = None
    deployment_id: str | None = None
    job_id: str | None = None
    agent_id: str | None = None
    pool: str | None = None
    version: str | None = None
    reason: str | None = None
    message: str = ""
    details: dict[str, Any] = Field(default_factory=dict[str, Any])
    claim: SkipJsonSchema[Claim | None] = Field(default=None, exclude_if=lambda claim: claim is None)
    refused: bool = Field(default_factory=lambda data: is_refusal(data.get("action")))


class About(TypedDict, total=False):
    """Whom an event is about."""

    service_name: str | None
    environment: str | None
    deployment_id: str | None
    job_id: str | None
    agent_id: str | None
    pool: str | None
    version: str | None


def new_event(
    what: EventType | Details,
    who: Who,
    *,
    event_id: str,
    at: int,
    reason: str | None = None,
    message: str = "",
    claim: Claim | None = None,
    **about: Unpack[About],
) -> AuditEvent:
    """What happened, at ``at``. One ``event_id`` is one event, however often it is written.

    ``who``: the message itself that asked for it, where there is one: whoever writes the event down looks at its proof.
    ``claim``: of what started a workflow, which is no such message, or was heard before it happened.
    ``what``: the type, or the details of one that has some. Raises TypeError for a bare type that has details: it is a
    fault of the caller. Texts that are too long for a store are cut, and say so.
    """
    if isinstance(what, EventType) and what in WITH_DETAILS:
        raise TypeError(f"{what} is written as {WITH_DETAILS[what].__name__}")
    kind = what if isinstance(what, EventType) else what.event
    return AuditEvent(
        event_id=event_id,
        at=at,
        action=kind.value,
        by=who.by or "",
        via=who.via,
        address=who.address,
        role=who.role,
        key_id=who.key_id,
        details=what.document() if isinstance(what, Details) else {},
        refused=kind.refused,
        reason=None if reason is None else shortened(reason),
        message=shortened(message),
        claim=claim or (who.heard(at).claim() if isinstance(who, Message) else None),
        **about,
    )


class EventQuery(Tolerant):
    """Which audit events a list shows, newest first, and a follower sees. At most one of ``deployment_id``,
    ``service_name``, ``job_id`` and ``agent_id`` chooses a list; the rest filters. ``action`` is a beginning
    (``deployment.``). Times in epoch ms.
    """

    service_name: str | None = None
    deployment_id: str | None = None
    job_id: str | None = None
    agent_id: str | None = None
    environment: str | None = None
    pool: str | None = None
    by: str | None = None
    action: str | None = None
    since: Millis | None = None
    until: Millis | None = None
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None

    def matches(self, event: AuditEvent) -> bool:
        """Whether the event is among those asked for."""
        named = ("service_name", "deployment_id", "job_id", "agent_id", "environment", "pool", "by")
        wanted = ((getattr(self, name), getattr(event, name)) for name in named)
        if not all(asked is None or asked == has for asked, has in wanted):
            return False
        in_time = (self.since or 0) <= event.at and (self.until is None or event.at <= self.until)
        return in_time and event.action.startswith(self.action or "")


class EventPage(Tolerant):
    """One page of audit events, newest first. ``stopped_early``, ``looked_at``: as of every page (``records.Page``)."""

    items: list[AuditEvent]
    next_cursor: str | None = None
    stopped_early: bool = False
    looked_at: int | None = Field(default=None, exclude_if=lambda value: value is None)
