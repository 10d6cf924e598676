"""Access: what one may do, where one is signed in, and the keys, for who manages them.

A key's secret is on the page that its form answers with, and nowhere else: that answer is no redirect, and no cache
keeps it. Deliberately not here: signing in and out (``sign_in``).
"""

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.access.schemas import KeyCreated, KeyList
from api.dashboard.answers import Fields, form_of, page, see
from api.dashboard.inside import Inside, InsideAnswer, RefusedByApi
from api.dashboard.words import names, number, times
from api.http.problems import Problem
from api.sign_in.schemas import OwnSessions
from workflows.contracts.access import ROLE_OPERATIONS, Grant, Operation, Role

router = APIRouter(include_in_schema=False)
_KEYS: Final = "/api/access/keys"
_SESSIONS: Final = "/auth/sessions"
_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR


@router.get("/access")
async def access(request: Request) -> Response:
    """One's own part, and the keys."""
    return await _access_page(request)


@router.post("/access/keys")
async def create_key(request: Request) -> Response:
    """The page that shows it, once."""
    form = await form_of(request)
    grant = {"role": form["role"], "services": names(form["services"]), "pools": names(form["pools"])}
    body: dict[str, object] = {
        "name": form["name"],
        "grants": [{name: value for name, value in grant.items() if value}],
    }
    days = times(number(form["days"]), _DAY)
    body |= {"expires_seconds": days} if days is not None else {}
    body |= {"owner": form["owner"]} if form["owner"] else {}
    body |= {"machine": True} if form["machine"] else {}
    try:
        answer = await Inside(request).send("POST", _KEYS, body, csrf=form["csrf"])
    except RefusedByApi as refused:
        return await _access_page(request, problem=refused.problem, filled=form)
    return await _shown_once(request, answer)


@router.post("/access/keys/{key_id}/{command}")
async def command_key(request: Request, key_id: str, command: str) -> Response:
    """Rotate, or revoke when that was confirmed."""
    form = await form_of(request)
    api = Inside(request)
    try:
        if command == "rotate":
            hours = times(number(form["hours"]), _HOUR)
            body = {} if hours is None else {"overlap_seconds": hours}
            return await _shown_once(
                request, await api.send("POST", f"{_KEYS}/{key_id}/rotate", body, csrf=form["csrf"])
            )
        if command == "revoke":
            await api.send("DELETE", f"{_KEYS}/{key_id}", csrf=form["csrf"])
        else:
            await api.send("POST", f"{_KEYS}/{key_id}/{command}", csrf=form["csrf"])
    except RefusedByApi as refused:
        return await _access_page(request, problem=refused.problem)
    return see(request, "/access#keys-made")


@router.post("/access/sessions/{session_id}/end")
async def end_session(request: Request, session_id: str) -> Response:
    """Sign out in one place."""
    return await _signed_out(request, f"{_SESSIONS}/{session_id}")


@router.post("/access/sessions/end")
async def end_sessions(request: Request) -> Response:
    """Sign out everywhere."""
    return await _signed_out(request, _SESSIONS)


async def _signed_out(request: Request, path: str) -> Response:
    form = await form_of(request)
    query = "others" if form["others"] else ""
    api = Inside(request)
    try:
        answer = await api.ask(
            "DELETE", path, query={query: "true"} if query else None, headers={"X-CSRF-Token": form["csrf"]}
        )
    except RefusedByApi as refused:
        return await _access_page(request, problem=refused.problem)
    response = see(request, "/access")
    response.raw_headers.extend((name, value) for name, value in answer.headers if name.lower() == b"set-cookie")
    return response


async def _shown_once(request: Request, answer: InsideAnswer) -> Response:
    return await _access_page(request, created=KeyCreated.model_validate_json(answer.body))


async def _access_page(
    request: Request,
    *,
    problem: Problem | None = None,
    filled: Fields | None = None,
    created: KeyCreated | None = None,
) -> Response:
    api = Inside(request)
    sessions = await api.get(_SESSIONS, OwnSessions)
    caller = api.caller
    manages = caller is not None and caller.unlimited(Operation.ACCESS_MANAGE)
    keys = KeyList(items=[])
    if manages:
        query = {"limit": 50, "cursor": request.query_params.get("cursor")}
        (keys,) = await asyncio.gather(api.get(_KEYS, KeyList, query))
    return page(
        request,
        "access/access.html",
        api=api,
        status=200 if problem is None else problem.status,
        caller=caller,
        grants=[] if caller is None else [(in_words(grant), allowed(grant)) for grant in caller.grants],
        sessions=sessions.items,
        keys=keys,
        manages=manages,
        words=in_words,
        roles=[role.value for role in Role],
        created=created,
        problem=problem,
        filled=filled or Fields(),
    )


def in_words(grant: Grant) -> str:
    """``operator for the services a, b: read, jobs:submit …``."""
    limits = [
        f"{what} {', '.join(found)}"
        for what, found in (("services", grant.services), ("pools", grant.pools))
        if found is not None
    ]
    where = f"for the {' in the '.join(limits)}" if limits else "everywhere"
    only = "" if grant.operations is None else f", only {', '.join(sorted(grant.operations))}"
    return f"{grant.role} {where}{only}"


def allowed(grant: Grant) -> list[str]:
    """What it lets do."""
    return sorted(each.value for each in ROLE_OPERATIONS[grant.role] if grant.allows(each))
