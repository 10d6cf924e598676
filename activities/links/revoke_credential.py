"""Link RevokeCredential: end a credential now, or after a grace in which it still works."""

from collections.abc import Callable
from typing import Final

from codeuchain import Context

from activities.chaining.links import require
from activities.events.signatures import Signature
from activities.links.credential_contexts import CredentialChangeContext
from activities.links.credential_events import credential_event
from activities.stores.interfaces import CredentialStore
from workflows.contracts.access import Credential
from workflows.contracts.errors import Unavailable

_TRIES: Final = 5


class RevokeCredential:
    """``credential``, ``until`` (epoch ms) and ``signed`` → ``revoked``. Raises Unavailable.

    One that ends before ``until`` anyway stays as it is, so that doing it again changes nothing.
    """

    def __init__(self, store: CredentialStore, *, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[CredentialChangeContext]) -> Context[CredentialChangeContext]:
        """Optimistic: reads again when another change came between."""
        credential, until = require(ctx, "credential", Credential), require(ctx, "until", int)
        signed = require(ctx, "signed", Signature)
        for _ in range(_TRIES):
            ends = [each for each in (credential.revoked_at, credential.expires_at) if each is not None]
            if ends and min(ends) <= until:
                return ctx.insert("revoked", credential)
            changes = {"revoked_at": until, "revision": credential.revision + 1}
            revoked = credential.model_copy(update=changes)
            event = credential_event(signed, "revoked", revoked, self._clock(), revoked_at=until)
            if await self._store.put(revoked, [event]):
                return ctx.insert("revoked", revoked)
            credential = await self._store.get(credential.credential_id) or revoked
        raise Unavailable(f"Credential {credential.credential_id} changes faster than it can be revoked. Try again.")
