"""What a store of credentials does."""

import builtins
from collections.abc import Sequence
from typing import Protocol

from workflows.contracts.access import Credential, CredentialKind, CredentialPage
from workflows.contracts.audit.events import AuditEvent


class CredentialStore(Protocol):
    """Keys, sessions, tokens: what is kept of a secret that was handed out. What has expired goes by itself."""

    async def put(self, credential: Credential, events: Sequence[AuditEvent]) -> bool:
        """Store it and its events, all or nothing, under ``revision_follows`` as for agents."""
        ...

    async def get(self, credential_id: str) -> Credential | None:
        """As last written; a consistent read. One that has expired may still be returned."""
        ...

    async def get_many(self, credential_ids: Sequence[str]) -> builtins.list[Credential]:
        """Those of them that are there, in any order; consistent reads, many in one request."""
        ...

    async def touch(self, credential_id: str, at: int) -> None:
        """Keep when it was last used, outside its revision. Nothing for one that is gone."""
        ...

    async def list(self, kind: CredentialKind, *, limit: int, cursor: str | None) -> CredentialPage:
        """Newest first. Raises ValidationFailed for a foreign cursor."""
        ...
