"""Who may call what: docs/access.md, ``permissions.ROUTES`` and the application say the same, for every route."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from api.auth.limits import RateLimits
from api.auth.permissions import CHECKED_INSIDE, REGISTERING, ROUTES, Open
from api.auth.tokens import digest_of, new_token
from api.auth.walk import route_names
from tests.api.conftest import client, memory_app
from workflows.contracts.access import ROLE_OPERATIONS, Credential, CredentialKind, Grant, Operation, Role

ACCESS = Path(__file__).parents[2] / "docs" / "access.md"
BEGIN, END = "<!-- who may call what: begin -->", "<!-- who may call what: end -->"
ITSELF, REGISTERED = "agent:work, itself", "a registered agent, with its own token"
WORDS = {
    Open.PUBLIC: "anybody",
    Open.SIGNED: "whoever signs it",
    Open.KNOWN: "any known caller",
    Open.PAGE: "whom the API lets",
}
_ROUTE = re.compile(r"`([A-Z]+(?:,[A-Z]+)*) (/[^`]*)`")
PLACES = {
    "agent_id": "build-1",
    "attempt": "1",
    "offset": "0",
    "path": "dist/app.tar",
    "name": "cart",
    "environment": "staging",
    "freeze_id": "f1",
    "key_id": "0123456789abcdef",
    "provider": "nobody",
}
SOME_ID = "00000000-0000-4000-8000-000000000000"


def rows(text: str) -> Iterator[tuple[str, str, str]]:
    """(needs, roles, routes) of each row between the markers."""
    for line in text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]:
        needs, roles, routes = (cell.strip() for cell in line.strip("|").split(" | "))
        yield needs, roles, routes


def allowed_by_the_page() -> dict[str, str]:
    """``METHOD /path`` → the roles that the page names, as they stand there."""
    found: dict[str, str] = {}
    for _, roles, routes in rows(ACCESS.read_text("utf-8")):
        for methods, path in _ROUTE.findall(routes):
            for method in methods.split(","):
                assert f"{method} {path}" not in found, "it is in the table twice"
                found[f"{method} {path}"] = roles
    return found


def _row(route: str, need: Operation | Open) -> str:
    return ITSELF if need is Operation.AGENT_WORK and route not in REGISTERING else need


def table() -> str:
    """What the page should say."""
    needs: dict[str, dict[str, list[str]]] = {}
    for route, need in sorted(ROUTES.items(), key=lambda item: item[0].split(" ")[::-1]):
        method, path = route.split(" ")
        if method != "MOUNT":
            needs.setdefault(_row(route, need), {}).setdefault(path, []).append(method)
    lines = ["| to | may | at |", "|---|---|---|"]
    ordered = dict.fromkeys(_row(route, need) for route, need in ROUTES.items())
    for need in (*WORDS, *(each for each in ordered if each not in WORDS)):
        if need == ITSELF:
            routes = ", ".join(f"`{','.join(methods)} {path}`" for path, methods in needs[need].items())
            lines.append(f"| {need} | {REGISTERED} | {routes} |")
            continue
        roles = [role for role, operations in ROLE_OPERATIONS.items() if need in operations]
        may = WORDS[need] if isinstance(need, Open) else ", ".join(roles)
        routes = ", ".join(f"`{','.join(methods)} {path}`" for path, methods in needs[need].items())
        lines.append(f"| {need} | {may} | {routes} |")
    return "\n".join(lines)


def test_the_page_says_who_may_call_what() -> None:
    written = ACCESS.read_text("utf-8").split(BEGIN)[1].split(END)[0].strip()
    assert written == table(), f"Between the markers of docs/access.md must stand:\n{table()}"


def test_every_route_has_its_place_in_the_table() -> None:
    app, *_ = memory_app()
    names = set(route_names(app))
    assert names == ROUTES.keys(), "permissions.ROUTES has routes that are gone, or lacks some"
    assert names >= CHECKED_INSIDE
    assert allowed_by_the_page().keys() == {name for name in names if not name.startswith("MOUNT")}


@dataclass(frozen=True, slots=True)
class Doors:
    """An application and the means to make keys for it."""

    app: FastAPI
    anyone: httpx.AsyncClient
    made: list[Credential]

    async def key(self, *grants: Grant, kind: CredentialKind = CredentialKind.KEY, **more: object) -> str:
        token, credential_id = new_token(kind)
        credential = Credential(
            credential_id=credential_id,
            kind=kind,
            digest=digest_of(token),
            subject="somebody",
            grants=list(grants),
            created_at=1,
        ).model_copy(update=more)
        assert await self.app.state.services.credentials.put(credential, [])
        self.made.append(credential)
        return token

    async def call(self, key: str | None, route: str, **more: object) -> httpx.Response:
        method, path = route.split(" ")
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return await self.anyone.request(method, path, headers=headers, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")  # the documentation that the application serves takes a second to build
async def doors() -> AsyncIterator[Doors]:
    app, *_ = memory_app(RateLimits(0, 0, 0, 0))
    async with client(app, None) as anyone:
        yield Doors(app, anyone, [])


def address(route: str) -> str:
    """The route with something in the places of its parameters."""
    return re.sub(r"\{(\w+)(?::path)?\}", lambda place: PLACES.get(place[1], SOME_ID), route)


SIGN_IN = {"GET /auth/callback", "POST /auth/session"}
"""Open to anybody, but 401 for who brings nothing to be known by; tests/api/test_sessions.py has more on them."""


def is_allowed(roles: str, who: Role | None) -> bool:
    if roles in {WORDS[Open.PUBLIC], WORDS[Open.SIGNED]}:
        return True
    return who is not None and (roles == WORDS[Open.KNOWN] or who in roles.split(", "))


@pytest.mark.parametrize("who", [*Role, None])
async def test_the_application_does_what_the_table_says(doors: Doors, who: Role | None) -> None:
    differ: list[str] = []
    for route, roles in allowed_by_the_page().items():
        # A key for each, since one of the routes ends what it is called with.
        key = None if who is None else await doors.key(Grant(role=who))
        if roles == WORDS[Open.PAGE] or route == "GET /live":  # which has no end
            continue  # tests/api/dashboard
        answer = await doors.call(key, address(route))
        allowed, refusals = is_allowed(roles, who), {401} if who is None else {403}
        if route in SIGN_IN and answer.status_code == 401:
            continue
        if (answer.status_code in {401, 403}) == allowed or (not allowed and answer.status_code not in refusals):
            differ.append(f"{route}: {answer.status_code}, but the table says {roles}")
    assert not differ
