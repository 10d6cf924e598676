"""One's own sessions: where somebody is signed in, signing out there, and everywhere.

Own are those of the same person by the same way in: of an issuer, or of one key. They end as signed out: what was
approved in them stays approved; an admin who revokes one takes that back (``access.routes``). Deliberately not here:
opening and leaving one (``routes``).
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth.cookies import clear_session_cookies
from api.auth.guard import Caller
from api.auth.issuing import revoke
from api.auth.origin import OriginDep
from api.auth.principal import Principal
from api.http.answers import PARAMETERS, json_answer
from api.sign_in.ports import SignInPorts, SignInPortsDep
from api.sign_in.schemas import EndSessionsQuery, OwnSession, OwnSessions, SessionsEnded
from workflows.contracts.access import MAX_SESSION_SECONDS, SESSION_TTL_SECONDS, Credential, CredentialKind
from workflows.contracts.errors import NotFound

router = APIRouter(prefix="/auth/sessions", tags=["sign-in"])
_PAGE: Final = 100
_PRIVATE: Final = {"Cache-Control": "no-store"}


@router.get("", response_model=OwnSessions, dependencies=[PARAMETERS], summary="Where one is signed in")
async def list_own_sessions(caller: Caller, ports: SignInPortsDep) -> Response:
    """Newest first."""
    async with aclosing(_own(ports, caller, max(ports.sign_in.session_seconds, SESSION_TTL_SECONDS))) as found:
        items = [
            OwnSession(
                session_id=each.credential_id,
                created_at=each.created_at,
                expires_at=each.expires_at,
                last_used_at=each.last_used_at,
                current=each.credential_id == caller.credential_id,
            )
            async for each in found
        ]
    return json_answer(OwnSessions(items=items).model_dump_json().encode(), headers=dict(_PRIVATE))


@router.delete(
    "/{session_id}", response_model=SessionsEnded, dependencies=[PARAMETERS], summary="Sign out in one place"
)
async def end_own_session(session_id: str, caller: Caller, ports: SignInPortsDep, origin: OriginDep) -> Response:
    """404 for one that is not one's own, or has ended."""
    async with aclosing(_own(ports, caller)) as found:
        own = [each async for each in found if each.credential_id == session_id]
    if not own:
        raise NotFound(f"There is no open session {session_id[:64]!r} of {caller.id}.")
    await revoke(ports, session_id, by=origin, signed_out=True)
    return _ended(ports, 1, own_ended=session_id == caller.credential_id)


@router.delete("", response_model=SessionsEnded, summary="Sign out everywhere")
async def end_own_sessions(
    which: Annotated[EndSessionsQuery, Query()], caller: Caller, ports: SignInPortsDep, origin: OriginDep
) -> Response:
    """The one that asks last, so that a failure in the middle can be tried again from it."""
    async with aclosing(_own(ports, caller)) as found:
        own = [each.credential_id async for each in found]
    others = [each for each in own if each != caller.credential_id]
    ends_own = not which.others and caller.credential_id in own
    for each in [*others, *([caller.credential_id] if ends_own and caller.credential_id is not None else [])]:
        await revoke(ports, each, by=origin, signed_out=True)
    return _ended(ports, len(others) + ends_own, own_ended=ends_own)


async def _own(
    ports: SignInPorts, caller: Principal, longest: int = MAX_SESSION_SECONDS
) -> AsyncGenerator[Credential, None]:
    """Open ones. ``longest``: so many seconds one lasts at most; older ones are not looked at."""
    now, cursor = ports.clock(), None
    while True:
        page = await ports.access.list(CredentialKind.SESSION, limit=_PAGE, cursor=cursor)
        for each in page.items:
            if each.created_at < now - longest * 1000:
                return
            ended = any(end is not None and end <= now for end in (each.revoked_at, each.expires_at))
            if not ended and _whose(Principal.of(each)) == _whose(caller):
                yield each
        if (cursor := page.next_cursor) is None:
            return


def _whose(principal: Principal) -> tuple[str, str, str | None]:
    """Who it is, and by which way in. A key of the configuration owns what it opens by its name."""
    return (principal.id, principal.owner or f"key:{principal.key_id}", principal.key_id)


def _ended(ports: SignInPorts, count: int, *, own_ended: bool) -> Response:
    response = json_answer(SessionsEnded(ended=count).model_dump_json().encode(), headers=dict(_PRIVATE))
    if own_ended:
        clear_session_cookies(response, secure=ports.sign_in.secure_cookies)
    return response
