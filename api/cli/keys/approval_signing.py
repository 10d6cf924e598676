"""Signing approvals (Ed25519), for agents that check them against keys of their own.

Deliberately not here: checking (``agent.safety.approvals``) and handing the signature over (``hybridci deploy
approve``).
"""

import base64
from typing import Final

from nacl.signing import SigningKey

from workflows.contracts.sealed import SignedApproval, key_id

_UNSIGNED: Final = base64.b64encode(bytes(64)).decode()


def new_approver_key() -> tuple[bytes, str]:
    """A private key, raw, and its public key in base64."""
    key = SigningKey.generate()
    return bytes(key), base64.b64encode(bytes(key.verify_key)).decode()


def sign_approval(
    private_key: bytes, service: str, version: str, commit: str, environment: str, expires_at: int
) -> SignedApproval:
    """Yes to this commit as this version of the service in the environment, until ``expires_at`` (epoch ms).

    Raises pydantic's ValidationError for what no approval can hold.
    """
    key = SigningKey(private_key)
    unsigned = SignedApproval(
        service=service,
        version=version,
        git_commit_sha=commit,
        environment=environment,
        expires_at=expires_at,
        key_id=key_id(bytes(key.verify_key)),
        signature=_UNSIGNED,
    )
    signature = base64.b64encode(key.sign(unsigned.signed_bytes()).signature).decode()
    return unsigned.model_copy(update={"signature": signature})
