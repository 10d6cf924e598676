"""Keys as people see them: everything about them but their secrets and digests."""

from enum import StrEnum
from typing import Any, Final

from pydantic import Field

from workflows.contracts.access import Credential, CredentialKind, Grant
from workflows.contracts.base import Frozen
from workflows.contracts.fields import Millis
from workflows.contracts.identity.people import Owner

DEFAULT_OVERLAP_SECONDS: Final = 24 * 3600
EXAMPLE_KEY: Final = {
    "name": "ci of checkout",
    "owner": "ann@example.com",
    "grants": [{"role": "developer", "services": ["checkout"]}],
    "expires_seconds": 7_776_000,
}


class KeyStatus(StrEnum):
    """Whether it opens anything."""

    ACTIVE = "active"
    ENDING = "ending"  # replaced or revoked, and works for a little longer
    EXPIRED = "expired"
    REVOKED = "revoked"


class KeyOut(Frozen):
    """What was handed out. ``subject`` is how records and the audit trail name whoever uses it."""

    key_id: str
    kind: CredentialKind
    status: KeyStatus
    name: str
    subject: str
    grants: list[Grant]
    created_at: Millis
    created_by: str
    expires_at: Millis | None
    revoked_at: Millis | None
    last_used_at: Millis | None = Field(description="To within a minute; null for agents, whose heartbeats tell more.")
    replaced_by: str | None
    agent_id: str | None
    owner: str | None = Field(description="Whose it is; null for a key that nobody has claimed: it owns itself.")
    machine: bool
    maker: str | None = Field(description="Who made it and saw its secret.")


class KeyCreated(KeyOut):
    """The answer that shows the secret, once."""

    key: str = Field(description="The secret. It is shown only here.")


class KeyList(Frozen):
    """One page of keys, newest first."""

    items: list[KeyOut]
    next_cursor: str | None = None


class OwnerRequest(Frozen):
    """Whose a key is, as the access policy knows them; ``machine``: nobody's in person."""

    owner: Owner
    machine: bool = False


class RotateRequest(Frozen):
    """How long the old secret works beside the new one."""

    overlap_seconds: int = Field(default=DEFAULT_OVERLAP_SECONDS, ge=0, le=90 * 86_400)


def key_out(credential: Credential, now: int) -> KeyOut:
    """Without anything secret. ``now`` in epoch milliseconds."""
    return KeyOut(**_fields(credential, now))


def key_created(credential: Credential, token: str, now: int) -> KeyCreated:
    """With its secret."""
    return KeyCreated(**_fields(credential, now), key=token)


def status_of_key(credential: Credential, now: int) -> KeyStatus:
    """Whether it still opens anything."""
    if credential.revoked_at is not None and credential.revoked_at <= now:
        return KeyStatus.REVOKED
    if credential.expires_at is not None and credential.expires_at <= now:
        return KeyStatus.EXPIRED
    return KeyStatus.ACTIVE if credential.revoked_at is None and credential.replaced_by is None else KeyStatus.ENDING


def _fields(credential: Credential, now: int) -> dict[str, Any]:
    shown = credential.model_dump(include=set(KeyOut.model_fields))
    return {**shown, "key_id": credential.credential_id, "status": status_of_key(credential, now)}
