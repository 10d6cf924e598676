"""Sealed values and signatures: what is carried between those who cannot trust each other.

Sealed values and signed approvals the control plane carries and can neither read nor forge; its own signature says that
a job is a deployment's. Deliberately not here: the cryptography (libsodium by PyNaCl), which is done at both ends.
"""

import hashlib
import json
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.fields import CommitSha, ShortLine, SignedMillis

SEALED_PREFIX: Final = "sealed:v1:"
"""``sealed:v1:<key id>:<base64 of a sealed box>`` as the value of an ``env`` entry. The box holds a SealedContent."""
KEY_ID_CHARACTERS: Final = 16
"""A key's id: so many hexadecimal characters of the SHA-256 of the raw public key."""


def key_id(public_key: bytes) -> str:
    """How a public key (raw, for sealing or signing) is named."""
    return hashlib.sha256(public_key).hexdigest()[:KEY_ID_CHARACTERS]


class SealedContent(Frozen):
    """What is inside a sealed box. ``name`` and ``repository`` bind it: it opens for no others."""

    name: str
    value: str
    repository: str | None = None


KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]


class SignedApproval(Tolerant):
    """An approver's signature (Ed25519, base64) over ``signed_bytes`` of this approval, with the key ``key_id``."""

    service: ShortLine
    version: ShortLine
    git_commit_sha: CommitSha
    environment: ShortLine
    expires_at: SignedMillis
    key_id: KeyId
    signature: Signature = Field(description="Base64.")

    def signed_bytes(self) -> bytes:
        """What is signed: JSON with sorted keys and no spaces, under a name of its own, so that it is nothing else."""
        fields = self.model_dump(include=set(SIGNED_FIELDS))
        return b"hybridci-approval-v1\n" + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


class SpecSignature(Tolerant):
    """The control plane's signature (Ed25519, base64) over all that a deployment's job runs.

    It says: a deployment of ``service`` has asked for this. What else it covers is said by ``attempts.signed_bytes``.
    An attempt may begin until ``expires_at``.
    """

    service: ShortLine
    issued_at: SignedMillis
    expires_at: SignedMillis
    key_id: KeyId
    signature: Signature = Field(description="Base64.")


SIGNED_FIELDS: Final = ("service", "version", "git_commit_sha", "environment", "expires_at")
