"""The contexts that chains of credentials hand on.

Deliberately not here: how they are read (``base.require``), and secrets, which no chain ever sees.
"""

from typing import TypedDict

from activities.events.signatures import Signature
from workflows.contracts.access import Credential, CredentialKind, CredentialPage


class CredentialChangeContext(TypedDict, total=False):
    """The chains that issue, revoke and rotate. ``until`` (epoch ms) is when the old one ends."""

    credential_id: str
    credential: Credential
    until: int
    signed: Signature
    replaced: Credential
    revoked: Credential


class CredentialReadContext(TypedDict, total=False):
    """The read chains: each uses its question and its answer."""

    credential_id: str
    credential: Credential
    kind: CredentialKind
    limit: int
    cursor: str
    page: CredentialPage
