"""Link IssueCredential: keep a new credential, with the event that says so."""

from collections.abc import Callable

from codeuchain import Context

from activities.chaining.links import require
from activities.events.signatures import Signature
from activities.links.credential_contexts import CredentialChangeContext
from activities.links.credential_events import credential_event
from activities.stores.interfaces import CredentialStore
from workflows.contracts.access import Credential
from workflows.contracts.errors import Unavailable


class IssueCredential:
    """``credential`` and ``signed`` → the same, kept. Raises Unavailable."""

    def __init__(self, store: CredentialStore, *, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[CredentialChangeContext]) -> Context[CredentialChangeContext]:
        """Its id is random: that another has it means that something is very wrong."""
        credential, signed = require(ctx, "credential", Credential), require(ctx, "signed", Signature)
        event = credential_event(signed, "issued", credential, self._clock())
        if not await self._store.put(credential, [event]):
            raise Unavailable(f"The id {credential.credential_id} of a new credential is taken: ask for it again.")
        return ctx
