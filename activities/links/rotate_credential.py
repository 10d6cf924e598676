"""Link RotateCredential: an older secret gives way to the one that was just issued, after an overlap."""

from collections.abc import Callable

from codeuchain import Context

from activities.chaining.links import require
from activities.events.signatures import Signature
from activities.links.credential_contexts import CredentialChangeContext
from activities.links.credential_events import credential_event
from activities.stores.interfaces import CredentialStore
from workflows.contracts.access import Credential
from workflows.contracts.errors import InvalidState


class RotateCredential:
    """``replaced`` (the older one), ``credential`` (its successor), ``until`` (epoch ms) and ``signed`` → ``revoked``.

    The older one works until ``until``. Raises InvalidState when somebody else changed it meanwhile.
    """

    def __init__(self, store: CredentialStore, *, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[CredentialChangeContext]) -> Context[CredentialChangeContext]:
        """Comes before the successor is kept: of two rotations at one moment, one is refused and leaves nothing."""
        replaced, successor = require(ctx, "replaced", Credential), require(ctx, "credential", Credential)
        until, signed = require(ctx, "until", int), require(ctx, "signed", Signature)
        ended = replaced.model_copy(
            update={
                "expires_at": until if replaced.expires_at is None else min(until, replaced.expires_at),
                "replaced_by": successor.credential_id,
                "revision": replaced.revision + 1,
            }
        )
        event = credential_event(signed, "rotated", ended, self._clock(), replaced_by=successor.credential_id)
        if not await self._store.put(ended, [event]):
            raise InvalidState(
                f"Credential {replaced.credential_id} was changed by somebody else at this moment: look at it and try"
                " again."
            )
        return ctx.insert("revoked", ended)
