"""Links of credentials: what a chain does with what was handed out, one step each; first what they hand on."""

from typing import Any, Final, TypedDict, cast

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.events.trail import noted
from activities.stores.interfaces.credentials import CredentialStore
from workflows.contracts.access import Credential, CredentialKind, CredentialPage
from workflows.contracts.audit.details import (
    CredentialClaimed,
    CredentialIssued,
    CredentialRevoked,
    CredentialRotated,
)
from workflows.contracts.errors import InvalidState, NotFound, Unavailable
from workflows.contracts.who import WhoAndWhy

_TRIES: Final = 5
_GIVES_APPROVALS: Final = frozenset({CredentialKind.KEY, CredentialKind.SESSION, CredentialKind.TOKEN})


class CredentialContext(TypedDict, total=False):
    """What the chains of credentials hand on. ``until`` (epoch ms) is when the old one ends."""

    credential_id: str
    credential: Credential
    until: int
    signed_out: bool
    signed: WhoAndWhy
    owner: str
    machine: bool
    makers: list[str]
    claimed: Credential
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
        credential, signed = require(ctx, "credential", Credential), require(ctx, "signed", WhoAndWhy)
        whose = {name: getattr(credential, name) for name in ("owner", "machine", "maker")}
        issued, words = CredentialIssued(**_said(credential), **whose), _words(credential, "was issued")
        event = noted(issued, signed, self._clock(), words, agent_id=credential.agent_id)
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
        until, signed = require(ctx, "until", int), require(ctx, "signed", WhoAndWhy)
        ended = replaced.model_copy(
            update={
                "expires_at": until if replaced.expires_at is None else min(until, replaced.expires_at),
                "replaced_by": successor.credential_id,
                "revision": replaced.revision + 1,
            }
        )
        rotated = CredentialRotated(**_said(ended), replaced_by=successor.credential_id)
        words = _words(ended, "was replaced")
        event = noted(rotated, signed, self._clock(), words, agent_id=ended.agent_id)
        if not await self._store.put(ended, [event]):
            raise InvalidState(
                f"Credential {replaced.credential_id} was changed by somebody else at this moment: look at it and try"
                " again."
            )
        return ctx.insert("revoked", ended)


class ClaimCredential(StoreLink[CredentialStore]):
    """``credential``, ``owner``, ``machine``, ``makers`` and ``signed`` → ``claimed``. Raises InvalidState for one
    that has an owner or is no key, or was changed by somebody else meanwhile.
    """

    async def call(self, ctx: Context[CredentialContext]) -> Context[CredentialContext]:
        """Once: whose a key is does not change afterwards; another person gets another key."""
        credential, signed = require(ctx, "credential", Credential), require(ctx, "signed", WhoAndWhy)
        owner, machine = require(ctx, "owner", str), require(ctx, "machine", bool)
        makers = cast("list[str]", require(ctx, "makers", list))
        if credential.kind is not CredentialKind.KEY or credential.owner is not None:
            whose = f"it is {credential.owner}'s" if credential.owner is not None else f"it is a {credential.kind}"
            raise InvalidState(f"Credential {credential.credential_id} cannot be claimed: {whose}. Make another key.")
        changes = {"owner": owner, "machine": machine, "makers": makers, "revision": credential.revision + 1}
        claimed = credential.model_copy(update=changes)
        said, words = CredentialClaimed(**_said(claimed), owner=owner, machine=machine), _words(claimed, "was claimed")
        if not await self._store.put(claimed, [noted(said, signed, self._clock(), words)]):
            raise InvalidState(
                f"Credential {credential.credential_id} was changed by somebody else at this moment: look at it and try"
                " again."
            )
        return ctx.insert("claimed", claimed)


class RevokeCredential(StoreLink[CredentialStore]):
    """``credential``, ``until`` (epoch ms), ``signed_out`` and ``signed`` → ``revoked``. Raises Unavailable.

    One that ends before ``until`` anyway stays as it is, so that doing it again changes nothing. But what a person has
    used can be revoked after it has expired or was signed out: its approvals count no more then.
    """

    async def call(self, ctx: Context[CredentialContext]) -> Context[CredentialContext]:
        """Optimistic: reads again when another change came between."""
        credential, until = require(ctx, "credential", Credential), require(ctx, "until", int)
        signed, signed_out = require(ctx, "signed", WhoAndWhy), require(ctx, "signed_out", bool)
        for _ in range(_TRIES):
            if _is_over(credential, until, signed_out=signed_out):
                return ctx.insert("revoked", credential)
            changes = {"revoked_at": until, "signed_out": signed_out, "revision": credential.revision + 1}
            revoked = credential.model_copy(update=changes)
            said, words = CredentialRevoked(**_said(revoked), revoked_at=until), _words(revoked, "was revoked")
            event = noted(said, signed, self._clock(), words, agent_id=revoked.agent_id)
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
            raise NotFound(f"There is no credential {credential_id!r}, or it ended long ago.")
        return ctx.insert("credential", credential)


class ListCredentials(StoreLink[CredentialStore]):
    """``kind``, ``limit`` and ``cursor`` (None for the first page) → ``page``. Raises ValidationFailed, Unavailable."""

    async def call(self, ctx: Context[CredentialContext]) -> Context[CredentialContext]:
        """Newest first."""
        kind, limit = require(ctx, "kind", CredentialKind), require(ctx, "limit", int)
        cursor = None if ctx.get("cursor") is None else require(ctx, "cursor", str)
        return ctx.insert("page", await self._store.list(kind, limit=limit, cursor=cursor))


def _is_over(credential: Credential, until: int, *, signed_out: bool) -> bool:
    """True when nothing is left to end."""
    ends = (credential.revoked_at, credential.expires_at)
    if not signed_out and credential.kind in _GIVES_APPROVALS:
        ends = (None if credential.signed_out else credential.revoked_at,)
    return any(each is not None and each <= until for each in ends)


def _said(credential: Credential) -> dict[str, Any]:
    """What every event of a credential says of it."""
    return {name: getattr(credential, name) for name in ("kind", "credential_id", "subject", "grants", "expires_at")}


def _words(credential: Credential, done: str) -> str:
    named = f" {credential.name!r}" if credential.name else ""
    return f"{credential.kind.capitalize()}{named} of {credential.subject} {done}"
