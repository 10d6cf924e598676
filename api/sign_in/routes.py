"""Signing in and out, and exchanging a workload's token: ``/auth``.

Secrets leave here in an answer's cookie or body and nowhere else; no cache keeps these answers. Deliberately not here:
API keys (``access.routes``), and what people see of it (a page of the dashboard).
"""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from activities.events.trail import noted
from api.auth.cookies import (
    CALLBACK_PATH,
    LOGIN_COOKIE,
    clear_login_cookie,
    clear_session_cookies,
    set_login_cookie,
    set_session_cookies,
)
from api.auth.csrf import require_own_site
from api.auth.guard import Caller
from api.auth.issuing import revoke
from api.auth.origin import OriginDep, address_of, via_of
from api.auth.sessions import Opened, open_for_key, open_for_person
from api.auth.workloads import exchange
from api.http.addresses import is_loopback, network_of
from api.http.answers import PARAMETERS, json_answer
from api.http.bodies import json_body
from api.http.errors import PROBLEM_MEDIA_TYPE, ApiError, ProblemCode
from api.http.proxies import came_through_proxy
from api.identity.id_tokens import RefusedToken
from api.identity.issuer_keys import Issuer
from api.identity.oidc import LOGIN_SECONDS, PendingLogin, back_to_this_site, begin_login, finish_login
from api.sign_in.ports import SignInPorts, SignInPortsDep
from api.sign_in.schemas import (
    ExchangeRequest,
    IssuerOut,
    IssuersOut,
    LoginQuery,
    SessionOut,
    SessionRequest,
    TicketOut,
    TokenOut,
)
from api.sign_in.tickets import TICKET_SECONDS
from workflows.contracts.access import CredentialKind, Validated
from workflows.contracts.audit.types import EventType
from workflows.contracts.errors import FieldError, InvalidState, NotFound, ValidationFailed
from workflows.contracts.who import WhoAndWhy

public = APIRouter(prefix="/auth", tags=["sign-in"])
"""Open to everybody: the ways in."""
router = APIRouter(prefix="/auth", tags=["sign-in"])
_PRIVATE: Final = {"Cache-Control": "no-store"}
_PROBLEM: Final = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "The issuer did not say who this is.", "content": _PROBLEM},
    403: {"description": "Nobody of this site asked, or no rule of the policy matches.", "content": _PROBLEM},
    429: {"description": "Too many attempts; see Retry-After.", "content": _PROBLEM},
}


@public.get("/issuers", response_model=IssuersOut, dependencies=[PARAMETERS], summary="By which issuers people sign in")
async def list_issuers(ports: SignInPortsDep) -> Response:
    """For a page with a button for each; API keys always work."""
    found = [
        IssuerOut(name=name, login_url=f"/auth/login?{urlencode({'issuer': name})}") for name in _login_issuers(ports)
    ]
    return json_answer(IssuersOut(issuers=found).model_dump_json().encode())


@public.get(
    "/login",
    status_code=302,
    response_class=RedirectResponse,
    dependencies=[PARAMETERS],
    responses={404: {"description": "There is no such issuer.", "content": _PROBLEM}, 429: _REFUSED[429]},
    summary="Sign in with an issuer",
)
async def log_in(which: Annotated[LoginQuery, Query()], request: Request, ports: SignInPortsDep) -> Response:
    """Sends the browser to the issuer; it comes back to ``/auth/callback`` and goes on to ``next``."""
    _count_attempt(ports, request)
    back_to = back_to_this_site(which.next)
    if back_to is None:
        message = "must be a path of this site, such as /dashboard?tab=jobs"
        raise ValidationFailed("Correct this parameter: next.", [FieldError(field="next", message=message)])
    issuer = _issuer(ports, which.issuer)
    url, pending = await begin_login(issuer, back_to=back_to, callback=_callback(ports, request))
    response = RedirectResponse(url, 302, _PRIVATE)
    secure = ports.sign_in.secure_cookies
    set_login_cookie(response, pending.cookie(), seconds=LOGIN_SECONDS, secure=secure)
    return response


@public.get(
    "/callback",
    status_code=303,
    response_class=RedirectResponse,
    responses=_REFUSED,
    summary="Come back from the issuer",
)
async def log_in_callback(request: Request, ports: SignInPortsDep) -> Response:
    """For the issuer's answer to ``/auth/login`` only: opens the session and sets its cookies."""
    _count_attempt(ports, request)
    pending = PendingLogin.of_cookie(request.cookies.get(LOGIN_COOKIE, ""))
    try:
        issuers = _login_issuers(ports)
        if pending is None or pending.issuer not in issuers:
            raise RefusedToken("No login is under way in this browser, or it took too long. Start at GET /auth/login.")
        issuer, callback = issuers[pending.issuer], _callback(ports, request)
        identity = await finish_login(issuer, ports.sign_in.tokens, pending, request.query_params, callback=callback)
        opened = await open_for_person(ports, request, identity)
    except (RefusedToken, ApiError) as error:
        raise await _refused(ports, request, error) from None
    response = RedirectResponse(back_to_this_site(pending.next) or "/", 303, _PRIVATE)
    _set_cookies(ports, response, opened)
    clear_login_cookie(response, secure=ports.sign_in.secure_cookies)
    return response


@public.post(
    "/session",
    status_code=201,
    response_model=SessionOut,
    dependencies=[PARAMETERS],
    responses=_REFUSED,
    summary="Open a session",
)
async def open_session(
    body: Annotated[SessionRequest, Depends(json_body(SessionRequest, optional=True))],
    request: Request,
    ports: SignInPortsDep,
) -> Response:
    """With an ID token in the body, or an API key in the ``Authorization`` header. The session is in a cookie."""
    require_own_site(request, public_url=ports.sign_in.public_url)
    _count_attempt(ports, request)
    try:
        opened = await _opened(ports, request, body)
    except (RefusedToken, ApiError) as error:
        raise await _refused(ports, request, error) from None
    credential = opened.issued.credential
    out = SessionOut(
        subject=credential.subject,
        kind=credential.kind,
        grants=credential.grants,
        expires_at=credential.expires_at or 0,
        csrf_token=opened.csrf_token,
    )
    response = json_answer(out.model_dump_json(exclude_none=True).encode(), 201, dict(_PRIVATE))
    _set_cookies(ports, response, opened)
    return response


@router.post("/ticket", status_code=201, response_model=TicketOut, summary="Make a link that signs in once")
async def make_ticket(caller: Caller, request: Request, ports: SignInPortsDep) -> Response:
    """For the person at this machine, with an API key of theirs: whoever has the ticket is signed in as they are, once,
    within ten minutes, and from this machine only.
    """
    _require_this_machine(request)
    if caller.kind is not CredentialKind.KEY:
        raise ApiError(ProblemCode.FORBIDDEN, f"A credential of kind {caller.kind} makes no ticket: use an API key.")
    out = TicketOut(ticket=ports.tickets.make(caller, request.headers.get("host", "")), expires_in=TICKET_SECONDS)
    return json_answer(out.model_dump_json().encode(), 201, dict(_PRIVATE))


@router.post("/validate", response_model=Validated, summary="Whom a credential stands for")
async def validate_credential(request: Request, caller: Caller, ports: SignInPortsDep) -> Response:
    """The credential is the request's own: key, session, token or agent's. 401 when it is no good any more."""
    if caller.agent_id is not None:
        ports.running.heard(request.headers.get("user-agent"), address_of(request) or "")
    credential = None if caller.credential_id is None else ports.authenticator.known(caller.credential_id)
    found = Validated(
        subject=caller.id,
        kind=caller.kind,
        grants=list(caller.grants),
        agent_id=caller.agent_id,
        pool=caller.pool,
        expires_at=None if credential is None else credential.expires_at,
    )
    return json_answer(found.model_dump_json(exclude_none=True).encode(), headers=dict(_PRIVATE))


@router.post("/logout", status_code=204, response_class=Response, summary="End a session or token")
async def log_out(caller: Caller, ports: SignInPortsDep, origin: OriginDep) -> Response:
    """Ends the credential that the request comes with, here at once, and takes the cookies back."""
    if caller.kind not in {CredentialKind.SESSION, CredentialKind.TOKEN} or caller.credential_id is None:
        raise InvalidState(
            f"A credential of kind {caller.kind} is not signed out: an admin revokes a key with DELETE "
            "/api/access/keys/{id}, and an agent's ends with POST /api/agents/{id}/deregister."
        )
    await revoke(ports, caller.credential_id, by=origin, signed_out=True)
    response = Response(status_code=204)
    clear_session_cookies(response, secure=ports.sign_in.secure_cookies)
    return response


@public.post(
    "/token",
    response_model=TokenOut,
    dependencies=[PARAMETERS],
    responses=_REFUSED,
    summary="Exchange a workload's ID token",
)
async def exchange_token(
    body: Annotated[ExchangeRequest, Depends(json_body(ExchangeRequest))], request: Request, ports: SignInPortsDep
) -> Response:
    """An OIDC token of a CI job, a pod or an agent for a short-lived one of this server, as the policy allows."""
    try:
        identity = await ports.sign_in.tokens.verified(body.subject_token.get_secret_value())
        issued = await exchange(ports, request, identity, body.requested)
    except (RefusedToken, ApiError) as error:
        raise await _refused(ports, request, error, what=EventType.TOKEN_REFUSED) from None
    credential = issued.credential
    lifetime = (credential.expires_at or 0) - credential.created_at
    out = TokenOut(
        access_token=issued.token,
        expires_in=lifetime // 1000,
        subject=credential.subject,
        grants=credential.grants,
    )
    return json_answer(out.model_dump_json(exclude_none=True).encode(), headers=dict(_PRIVATE))


async def _opened(ports: SignInPorts, request: Request, body: SessionRequest) -> Opened:
    if body.id_token is not None:
        if body.issuer is not None and body.issuer not in ports.sign_in.issuers:
            raise _no_issuer(body.issuer)
        identity = await ports.sign_in.tokens.verified(body.id_token.get_secret_value(), issuer=body.issuer)
        return await open_for_person(ports, request, identity)
    if body.ticket is not None:
        _require_this_machine(request)
        made_by = ports.tickets.take(body.ticket.get_secret_value(), request.headers.get("host", ""))
        if made_by is None:
            raise RefusedToken(
                "This link was used already or is older than ten minutes. Make another with `hybridci open`."
            )
        return await open_for_key(ports, request, made_by)
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise RefusedToken(
            "Send an ID token as `id_token` in the body, or an API key as 'Authorization: Bearer <key>'."
        )
    caller = await ports.authenticator.principal(key, address=address_of(request))
    if caller is None:
        raise RefusedToken("This key is not known here, has expired or was revoked. Ask an admin for another.")
    return await open_for_key(ports, request, caller)


async def _refused(
    ports: SignInPorts, request: Request, error: RefusedToken | ApiError, *, what: EventType = EventType.SESSION_REFUSED
) -> ApiError:
    """The answer for who is not let in, told in the audit trail as often as an address may be wrong."""
    if isinstance(error, RefusedToken):
        error = ApiError(ProblemCode.UNAUTHORIZED, str(error), headers={"WWW-Authenticate": 'Bearer realm="hybridci"'})
    if error.code is ProblemCode.TOO_MANY_REQUESTS:
        return error
    address = address_of(request)
    ports.authenticator.limits.failed(address)
    nobody = WhoAndWhy(via=via_of(request), address=address, reason=error.detail)
    await ports.audit.append(noted(what, nobody, ports.clock(), f"Refused: {error.detail}"))
    return error


def _require_this_machine(request: Request) -> None:
    address = address_of(request)
    if address is None or not is_loopback(address):
        raise ApiError(ProblemCode.FORBIDDEN, "A ticket is made and used on the machine of the API only.")
    if came_through_proxy(request):
        raise ApiError(
            ProblemCode.FORBIDDEN,
            "A ticket is made and used on the machine of the API only, and this came through a proxy, behind which"
            " everybody looks like this machine. Open the API's own address, or sign in with an issuer or an API key.",
        )


def _set_cookies(ports: SignInPorts, response: Response, opened: Opened) -> None:
    secure = ports.sign_in.secure_cookies
    set_session_cookies(response, opened.issued.token, opened.csrf_token, seconds=opened.seconds, secure=secure)


def _count_attempt(ports: SignInPorts, request: Request) -> None:
    attempts = ports.sign_in.attempts
    if not attempts.count(network_of(address_of(request))):
        seconds = attempts.retry_after()
        detail = f"Too many attempts to sign in came from your address. Try again in {seconds} s."
        raise ApiError(ProblemCode.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(seconds)})


def _login_issuers(ports: SignInPorts) -> dict[str, Issuer]:
    return {name: issuer for name, issuer in ports.sign_in.issuers.items() if issuer.policy.client_id is not None}


def _issuer(ports: SignInPorts, name: str | None) -> Issuer:
    issuers = _login_issuers(ports)
    if not issuers:
        raise NotFound("No issuer is set up to sign people in. Open a session with an API key: POST /auth/session.")
    if name is None and len(issuers) == 1:
        (name,) = issuers
    if name is None or name not in issuers:
        raise _no_issuer(name)
    return issuers[name]


def _no_issuer(name: str | None) -> ValidationFailed:
    message = "is needed: there are several" if name is None else "is no issuer here; GET /auth/issuers lists them"
    return ValidationFailed("Correct this: issuer.", [FieldError(field="issuer", message=message)])


def _callback(ports: SignInPorts, request: Request) -> str:
    """Where the issuer sends browsers back to; it must know this address, so a made-up Host leads nowhere."""
    return f"{ports.sign_in.public_url or str(request.base_url).rstrip('/')}{CALLBACK_PATH}"
