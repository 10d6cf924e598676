"""Handing out secrets, and taking them back. A secret leaves here once and is kept nowhere, only its digest.

Deliberately not here: who may ask for it (``guard`` and the routes).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from api.auth.origin import Origin
from api.auth.ports import IssuingPorts
from api.auth.tokens import digest_of, new_token
from workflows.contracts.access import AdmittedBy, Credential, CredentialKind, Grant
from workflows.contracts.who import WhoAndWhy


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose a credential is: ``owner`` is a subject, ``names`` are further ones, ``maker`` the person who made it."""

    owner: str | None = None
    names: Sequence[str] = ()
    machine: bool = False
    maker: str | None = None
    makers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Issued:
    """A credential and, this once, its secret."""

    token: str = field(repr=False)
    credential: Credential


async def issue(
    ports: IssuingPorts,
    *,
    kind: CredentialKind,
    subject: str,
    name: str,
    grants: Sequence[Grant],
    ttl_seconds: int | None,
    by: Origin | None,
    holder: KeyHolder | None = None,
    agent_id: str | None = None,
    csrf_digest: str | None = None,
    parent_id: str | None = None,
    admission: AdmittedBy | None = None,
    reason: str | None = None,
) -> Issued:
    """A new credential for ``subject``; ``by`` None means that the subject asked itself. Raises Unavailable."""
    now, whose = ports.clock(), holder or KeyHolder()
    token, credential_id = new_token(kind)
    credential = Credential(
        credential_id=credential_id,
        kind=kind,
        digest=digest_of(token),
        subject=subject,
        name=name,
        grants=list(grants),
        created_at=now,
        created_by=subject if by is None else by.caller.id,
        expires_at=None if ttl_seconds is None else now + ttl_seconds * 1000,
        agent_id=agent_id,
        csrf_digest=csrf_digest,
        parent_id=parent_id,
        owner=whose.owner,
        names=list(whose.names),
        machine=whose.machine,
        maker=whose.maker,
        makers=list(whose.makers),
        admission=admission,
    )
    kept = await ports.access.issue(credential, signed=_who(by, subject, reason))
    ports.authenticator.learn(kept)
    return Issued(token, kept)


async def rotate(ports: IssuingPorts, credential: Credential, *, overlap_seconds: int, by: Origin) -> Issued:
    """A new secret with the same grants, for as long again; the old one works until the overlap ends.

    Raises InvalidState when it was changed at the same moment, Unavailable.
    """
    now = ports.clock()
    token, credential_id = new_token(credential.kind)
    maker = ports.voucher.people.of(by.caller.bearer)
    lifetime = None if credential.expires_at is None else credential.expires_at - credential.created_at
    successor = credential.model_copy(
        update={
            "credential_id": credential_id,
            "digest": digest_of(token),
            "created_at": now,
            "created_by": by.caller.id,
            "expires_at": None if lifetime is None else now + lifetime,
            "last_used_at": None,
            "revision": 1,
            "maker": maker.person,
            "makers": sorted(
                {*credential.makers, *maker.all_makers, *([credential.maker] if credential.maker else [])}
            ),
            "origin_id": credential.origin_id or credential.credential_id,
        }
    )
    ending = await ports.access.rotate(credential, successor, overlap_seconds=overlap_seconds, signed=by.who())
    ports.authenticator.learn(ending)
    ports.authenticator.learn(successor)
    return Issued(token, successor)


async def claim(ports: IssuingPorts, credential_id: str, *, owner: str, machine: bool, by: Origin) -> Credential:
    """Say whose a key of before keys had owners is. Raises NotFound, InvalidState when it has one, Unavailable."""
    claimer = ports.voucher.people.of(by.caller.bearer)
    makers = sorted({claimer.person, *claimer.all_makers})
    claimed = await ports.access.claim(credential_id, owner=owner, machine=machine, makers=makers, signed=by.who())
    ports.authenticator.learn(claimed)
    return claimed


async def revoke(
    ports: IssuingPorts, credential_id: str, *, by: Origin | None, grace_seconds: int = 0, signed_out: bool = False
) -> None:
    """End it, after the grace; here at once, in other API processes within 30 s. ``signed_out``: who used it is done,
    and nobody takes it away. Raises NotFound, Unavailable.
    """
    subject = "" if by is not None else (await ports.access.get(credential_id)).subject
    revoked = await ports.access.revoke(
        credential_id, grace_seconds=grace_seconds, signed_out=signed_out, signed=_who(by, subject)
    )
    ports.authenticator.learn(revoked)


def _who(by: Origin | None, subject: str, reason: str | None = None) -> WhoAndWhy:
    return by.who(reason) if by is not None else WhoAndWhy(by=subject, via="api", reason=reason)
