"""Link RetrieveCredential: what is kept of a credential."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.credential_contexts import CredentialReadContext
from activities.stores.interfaces import CredentialStore
from workflows.contracts.errors import NotFound


class RetrieveCredential:
    """``credential_id`` → ``credential``. Raises NotFound, Unavailable."""

    def __init__(self, store: CredentialStore) -> None:
        self._store = store

    async def call(self, ctx: Context[CredentialReadContext]) -> Context[CredentialReadContext]:
        """A consistent read: what was written last."""
        credential_id = require(ctx, "credential_id", str)
        credential = await self._store.get(credential_id)
        if credential is None:
            raise NotFound(f"There is no credential {credential_id!r}, or it ended more than a week ago.")
        return ctx.insert("credential", credential)
