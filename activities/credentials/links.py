"""Links of credentials: what a chain does with what was handed out, one step each; first what they hand on."""

from typing import Final, TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.events.signatures import Signature
from activities.stores.interfaces import CredentialStore
from workflows.contracts.access import Credential, CredentialKind, CredentialPage
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.errors import InvalidState, NotFound, Unavailable

_TRIES: Final = 5
_NAMED: Final = {
    (CredentialKind.SESSION, "issued"): "session.opened",
    (CredentialKind.SESSION, "revoked"): "session.closed",
    (CredentialKind.TOKEN, "issued"): "token.exchanged",
    (CredentialKind.TOKEN, "revoked"): "token.closed",
}
"""What people call it; everything else is ``access.<kind>_<what>``."""
_DONE: Final = {"issued": "was issued", "rotated": "was replaced", "revoked": "was revoked"}


class CredentialContext(TypedDict, total=False):
    """What the chains of credentials hand on. ``until`` (epoch ms) is when the old one ends."""

    credential_id: str
    credential: Credential
    until: int
    signed: Signature
    replaced: Credential
    revoked: Credential
    kind: CredentialKind
    limit: int
    cursor: str
    page: CredentialPage


class IssueCredential(StoreLink[CredentialStore]):
    """``credential`` and ``signed`` → the same, kept. Raises Unavailable."""

    async def call(self, ctx: Context[CredentialContext]) -> Context[CredentialContext]:
        """Its id is random: that another has it means that something is very wrong."""
        credential, signed = require(ctx, "credential", Credential), require(ctx, "signed", Signature)
        event = credential_event(signed, "issued", credential, self._clock())
        if not await self._store.put(credential, [event]):
            raise Unavailable(f"The id {credential.credential_id} of a new credential is taken: ask for it again.")
        return ctx


class RotateCredential(StoreLink[CredentialStore]):
    """``replaced`` (the older one), ``credential`` (its successor), ``until`` (epoch ms) and ``signed`` → ``revoked``.

    The older one works until ``until``. Raises InvalidState when somebody else changed it meanwhile.
    """

    async def call(self, ctx: Context[CredentialContext]) -> Context[CredentialContext]:
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


class RevokeCredential(StoreLink[CredentialStore]):
    """``credential``, ``until`` (epoch ms) and ``signed`` → ``revoked``. Raises Unavailable.

    One that ends before ``until`` anyway stays as it is, so that doing it again changes nothing.
    """

    async def call(self, ctx: Context[CredentialContext]) -> Context[CredentialContext]:
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


class RetrieveCredential(StoreLink[CredentialStore]):
    """``credential_id`` → ``credential``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[CredentialContext]) -> Context[CredentialContext]:
        """A consistent read: what was written last."""
        credential_id = require(ctx, "credential_id", str)
        credential = await self._store.get(credential_id)
        if credential is None:
            raise NotFound(f"There is no credential {credential_id!r}, or it ended more than a week ago.")
        return ctx.insert("credential", credential)


class ListCredentials(StoreLink[CredentialStore]):
    """``kind``, ``limit`` and ``cursor`` (None for the first page) → ``page``. Raises ValidationFailed, Unavailable."""

    async def call(self, ctx: Context[CredentialContext]) -> Context[CredentialContext]:
        """Newest first."""
        kind, limit = require(ctx, "kind", CredentialKind), require(ctx, "limit", int)
        cursor = None if ctx.get("cursor") is None else require(ctx, "cursor", str)
        return ctx.insert("page", await self._store.list(kind, limit=limit, cursor=cursor))


def credential_event(signed: Signature, what: str, credential: Credential, at: int, **more: object) -> AuditEvent:
    """``access.key_issued``, ``session.opened``, …; ``what`` is issued, rotated or revoked."""
    named = f" {credential.name!r}" if credential.name else ""
    return signed.event(
        _NAMED.get((credential.kind, what), f"access.{credential.kind}_{what}"),
        at,
        f"{credential.kind.capitalize()}{named} of {credential.subject} {_DONE[what]}",
        agent_id=credential.agent_id,
        details={
            "credential_id": credential.credential_id,
            "subject": credential.subject,
            "grants": [grant.model_dump(mode="json", exclude_none=True) for grant in credential.grants],
            "expires_at": credential.expires_at,
            **more,
        },
    )
