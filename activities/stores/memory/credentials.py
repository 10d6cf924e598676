"""CredentialStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

from collections.abc import Sequence

from activities.stores.cursors import CredentialQuery
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.pages import newest_first
from workflows.contracts.access import Credential, CredentialKind, CredentialPage
from workflows.contracts.audit.events import AuditEvent


class MemoryCredentialStore:
    """CredentialStore in dicts, by id. Records are kept as text, as everywhere."""

    def __init__(self, events: MemoryEventStore) -> None:
        self._events = events
        self._documents: dict[str, str] = {}
        self._used: dict[str, int] = {}

    async def put(self, credential: Credential, events: Sequence[AuditEvent]) -> bool:
        """See CredentialStore."""
        kept = self._documents.get(credential.credential_id)
        document = credential.model_copy(update={"last_used_at": None}).model_dump_json()
        present = 0 if kept is None else Credential.model_validate_json(kept).revision
        if present != credential.revision - 1:
            return kept == document
        self._events.keep(events)
        self._documents[credential.credential_id] = document
        return True

    async def get(self, credential_id: str) -> Credential | None:
        """See CredentialStore."""
        return self._load(credential_id)

    async def get_many(self, credential_ids: Sequence[str]) -> list[Credential]:
        """See CredentialStore."""
        return [found for each in dict.fromkeys(credential_ids) if (found := self._load(each)) is not None]

    async def touch(self, credential_id: str, at: int) -> None:
        """See CredentialStore."""
        if credential_id in self._documents:
            self._used[credential_id] = max(at, self._used.get(credential_id, 0))

    async def list(self, kind: CredentialKind, *, limit: int, cursor: str | None) -> CredentialPage:
        """See CredentialStore."""
        query = CredentialQuery(kind=kind, limit=limit, cursor=cursor)
        found = [credential for each in self._documents if (credential := self._load(each)) and credential.kind is kind]
        page, next_cursor = newest_first(query, found, lambda each: (each.created_at, each.credential_id))
        return CredentialPage(items=page, next_cursor=next_cursor)

    def _load(self, credential_id: str) -> Credential | None:
        document = self._documents.get(credential_id)
        if document is None:
            return None
        credential = Credential.model_validate_json(document)
        return credential.model_copy(update={"last_used_at": self._used.get(credential_id)})
