"""The audit trail: who did what, and how lists of it are asked for. All times are epoch milliseconds, UTC."""

from typing import Any

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis


class AuditEvent(Tolerant):
    """Who did what, when, from where, why. Append-only; ``event_id`` is unique and tells a repeated write.

    ``action``: ``deployment.created``, ``deployment.approved``, ``environment.held``, ``service.applied``, … ``via``:
    ``api``, ``cli``, ``webhook:<provider>``, ``temporal``, ``workflow``. ``address`` is the caller's, if any.
    """

    event_id: str
    at: Millis
    action: str
    by: str = ""
    via: str = ""
    address: str | None = None
    role: str | None = None
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


class EventQuery(Tolerant):
    """Which audit events a list shows, newest first. At most one of ``deployment_id``, ``service_name``, ``job_id`` and
    ``agent_id`` chooses a list; the rest filters. ``action`` is a beginning (``deployment.``). Times in epoch ms.
    """

    service_name: str | None = None
    deployment_id: str | None = None
    job_id: str | None = None
    agent_id: str | None = None
    by: str | None = None
    action: str | None = None
    since: Millis | None = None
    until: Millis | None = None
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None


class EventPage(Tolerant):
    """One page of audit events, newest first."""

    items: list[AuditEvent]
    next_cursor: str | None = None
