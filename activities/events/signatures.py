"""Who asks for a change, and the audit event that says so.

Deliberately not here: whether they may (``api.auth``), and how an event is kept (the stores, in the record's
transaction).
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from workflows.contracts.audit.events import AuditEvent


@dataclass(frozen=True, slots=True)
class Signature:
    """Who asks, in which role, by which means (``api``, ``cli``, ``agent``), from which address, and why."""

    by: str
    role: str | None = None
    via: str = "api"
    address: str | None = None
    reason: str | None = None

    def event(
        self,
        action: str,
        at: int,
        message: str,
        *,
        agent_id: str | None = None,
        pool: str | None = None,
        details: Mapping[str, object] | None = None,
    ) -> AuditEvent:
        """The event of a change that was made at ``at`` (epoch ms). Each call makes another event."""
        return AuditEvent(
            event_id=str(uuid.uuid4()),
            at=at,
            action=action,
            by=self.by,
            via=self.via,
            address=self.address,
            role=self.role,
            agent_id=agent_id,
            pool=pool,
            reason=self.reason,
            message=message,
            details=dict(details or {}),
        )
