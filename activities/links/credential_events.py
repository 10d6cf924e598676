"""The audit events of credentials: what was handed out to whom, by its id. Nothing of a secret, not even its digest."""

from typing import Final

from activities.events.signatures import Signature
from workflows.contracts.access import Credential, CredentialKind
from workflows.contracts.deployments import AuditEvent

_NAMED: Final = {
    (CredentialKind.SESSION, "issued"): "session.opened",
    (CredentialKind.SESSION, "revoked"): "session.closed",
    (CredentialKind.TOKEN, "issued"): "token.exchanged",
    (CredentialKind.TOKEN, "revoked"): "token.closed",
}
"""What people call it; everything else is ``access.<kind>_<what>``."""
_DONE: Final = {"issued": "was issued", "rotated": "was replaced", "revoked": "was revoked"}


def credential_event(signed: Signature, what: str, credential: Credential, at: int, **more: object) -> AuditEvent:
    """``access.key_issued``, ``session.opened``, …; ``what`` is issued, rotated or revoked."""
    named = f" {credential.name!r}" if credential.name else ""
    return signed.event(
        _NAMED.get((credential.kind, what), f"access.{credential.kind}_{what}"),
        at,
        f"{credential.kind.capitalize()}{named} of {credential.subject} {_DONE[what]}",
        agent_id=credential.agent_id,
        details={
            "credential_id": credential.credential_id,
            "subject": credential.subject,
            "grants": [grant.model_dump(mode="json", exclude_none=True) for grant in credential.grants],
            "expires_at": credential.expires_at,
            **more,
        },
    )
