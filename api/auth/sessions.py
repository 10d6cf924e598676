"""Sessions: a person's browser is known by a cookie, for a day at most.

A session is always a new secret, whatever the browser brought along, so nobody can plant one; the one that was there
ends. Deliberately not here: who the person is (``identity.oidc``, ``identity.id_tokens``), ``cookies``, ``csrf``, HTTP
(``sign_in.routes``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.requests import Request

from api.auth.cookies import presented
from api.auth.csrf import new_csrf_token
from api.auth.issuing import Issued, KeyHolder, issue, revoke
from api.auth.origin import address_of, origin_for
from api.auth.ports import AuthPorts
from api.auth.principal import Principal
from api.auth.workloads import nobody
from api.http.errors import ApiError, ProblemCode
from api.identity.id_tokens import Identity
from workflows.contracts.access import AdmittedBy, CredentialKind, Grant


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was opened; its token goes into the cookie, ``csrf_token`` to the page."""

    issued: Issued
    csrf_token: str = field(repr=False)
    seconds: int


async def open_for_person(ports: AuthPorts, request: Request, identity: Identity) -> Opened:
    """A session for whom an ID token stands for. Raises RefusedToken, ApiError forbidden and Unavailable."""
    grants = ports.sign_in.policy.grants_of_person(identity.issuer.name, identity.claims)
    if not grants:
        raise nobody(identity, "users")
    seconds = ports.sign_in.session_seconds
    holder = KeyHolder(owner=identity.owner, names=identity.addresses)
    return await _open(
        ports,
        request,
        identity.person,
        grants,
        holder,
        reason=identity.told,
        seconds=seconds,
        admission=identity.admission(),
    )


async def open_for_key(ports: AuthPorts, request: Request, key: Principal) -> Opened:
    """A session that may do what an API key may, and ends with it. Raises ApiError forbidden and Unavailable."""
    if key.kind is not CredentialKind.KEY:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"A credential of kind {key.kind} opens no session: use an API key, or sign in at GET /auth/login.",
        )
    seconds = ports.sign_in.session_seconds
    stored = None if key.credential_id is None else await ports.credentials.get(key.credential_id)
    if stored is not None and stored.expires_at is not None:
        seconds = max(1, min(seconds, (stored.expires_at - ports.clock()) // 1000))
    reason = f"key {key.credential_id or 'of the configuration'}"
    parent_id = key.credential_id
    owner = key.owner or f"key:{key.key_id}"
    holder = KeyHolder(owner=owner, names=key.names, machine=key.machine, maker=key.maker, makers=key.makers)
    return await _open(
        ports,
        request,
        key.id,
        key.grants,
        holder,
        reason=reason,
        seconds=seconds,
        parent_id=parent_id,
        admission=key.admission,
    )


async def _open(
    ports: AuthPorts,
    request: Request,
    subject: str,
    grants: Sequence[Grant],
    holder: KeyHolder,
    *,
    reason: str,
    seconds: int,
    parent_id: str | None = None,
    admission: AdmittedBy | None = None,
) -> Opened:
    csrf_token, digest = new_csrf_token()
    person = Principal(id=subject, kind=CredentialKind.SESSION, grants=tuple(grants))
    issued = await issue(
        ports,
        kind=CredentialKind.SESSION,
        subject=subject,
        name="",
        grants=grants,
        ttl_seconds=seconds,
        by=origin_for(request, person),
        holder=holder,
        csrf_digest=digest,
        parent_id=parent_id,
        admission=admission,
        reason=reason,
    )
    await _end_earlier(ports, request)
    return Opened(issued, csrf_token, seconds)


async def _end_earlier(ports: AuthPorts, request: Request) -> None:
    """End the session that this browser had: whoever was signed in before is no longer."""
    token = presented(request)
    if token is None:
        return
    earlier = await ports.authenticator.principal(token, address=address_of(request))
    if earlier is not None and earlier.kind is CredentialKind.SESSION and earlier.credential_id is not None:
        await revoke(ports, earlier.credential_id, by=origin_for(request, earlier), signed_out=True)
