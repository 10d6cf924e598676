"""Link ListCredentials: one page of the credentials of a kind."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.credential_contexts import CredentialReadContext
from activities.stores.interfaces import CredentialStore
from workflows.contracts.access import CredentialKind


class ListCredentials:
    """``kind``, ``limit`` and ``cursor`` (None for the first page) → ``page``. Raises ValidationFailed, Unavailable."""

    def __init__(self, store: CredentialStore) -> None:
        self._store = store

    async def call(self, ctx: Context[CredentialReadContext]) -> Context[CredentialReadContext]:
        """Newest first."""
        kind, limit = require(ctx, "kind", CredentialKind), require(ctx, "limit", int)
        cursor = None if ctx.get("cursor") is None else require(ctx, "cursor", str)
        return ctx.insert("page", await self._store.list(kind, limit=limit, cursor=cursor))
