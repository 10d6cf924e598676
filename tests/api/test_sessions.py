"""Sessions: what opens one, what its cookie can do and cannot, and how it ends."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.auth.issuing import issue
from api.auth.sign_in import SignIn, open_sign_in
from api.deps import Services
from tests.api.conftest import ADMIN_KEY, AGENT_KEY, SPEC
from tests.api.sign_in import SITE, Door, opened_door, post
from tests.oidc_issuer import OidcIssuer
from workflows.contracts.access import CredentialKind, Grant, Role

JOBS = "/api/dashboard/jobs"
RULES = """
users:
  - {match: {issuer: corp, groups: {contains: dev}}, grants: [{role: developer}]}
workloads:
  - {name: ci, match: {issuer: corp, repository: acme/shop}, grants: [{role: developer}]}
"""
BEARER = {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened_door(OidcIssuer(url="http://127.0.0.1:9"), tmp_path, RULES) as found:
        yield found


@asynccontextmanager
async def signed_in(door: Door) -> AsyncGenerator[tuple[httpx.AsyncClient, str]]:
    """A browser with an admin's session, and its CSRF token."""
    async with door.browser() as browser:
        answer = await browser.post("/auth/session", headers=BEARER)
        assert answer.status_code == 201, answer.text
        yield browser, str(answer.json()["csrf_token"])


async def key_of(door: Door, role: Role, *, ttl_seconds: int | None = None, **more: Any) -> str:
    services: Services = door.app.state.services
    kind = more.pop("kind", CredentialKind.KEY)
    issued = await issue(
        services, kind=kind, subject="ci", name="ci", grants=[Grant(role=role)], ttl_seconds=ttl_seconds, by=None
    )
    return issued.token


async def test_a_key_opens_a_session_in_a_cookie_that_no_page_can_read(door: Door) -> None:
    answer = await post(door, "/auth/session", BEARER)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["subject"], body["kind"], body["grants"]) == ("admin", "session", [{"role": "admin"}])
    cookies = {line.split("=", 1)[0]: line for line in answer.headers.get_list("set-cookie")}
    session, csrf = cookies["hybridci_session"], cookies["hybridci_csrf"]
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=86400"} <= set(session.split("; "))
    assert "HttpOnly" not in csrf
    assert {"Secure", "SameSite=lax"} <= set(csrf.split("; "))
    assert answer.headers["cache-control"] == "no-store"
    token = session.split("=", 1)[1].split(";")[0]
    assert token.startswith("hci_session_")
    assert token not in answer.text
    [event] = await door.events()
    assert (event.action, event.by, event.role, event.address) == ("session.opened", "admin", "admin", "127.0.0.1")


async def test_a_session_reads_and_with_its_csrf_token_changes(door: Door) -> None:
    async with signed_in(door) as (browser, csrf):
        assert (await browser.get(JOBS)).status_code == 200
        refused = [
            await browser.post(JOBS, json=SPEC),
            await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": "x" * 43}),
            await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": ""}),
            await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": csrf, "Origin": "https://evil.example"}),
            await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": csrf, "Origin": "null"}),
            await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"}),
            await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-site"}),
        ]
        assert [answer.status_code for answer in refused] == [403] * 7
        assert "X-CSRF-Token" in refused[0].json()["detail"]
        for headers in ({}, {"Origin": SITE}, {"Sec-Fetch-Site": "same-origin"}):
            answer = await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": csrf, **headers})
            assert answer.status_code == 201, answer.text


async def test_the_csrf_token_of_another_session_is_of_no_use(door: Door) -> None:
    async with signed_in(door) as (mine, _), signed_in(door) as (_, token):
        assert (await mine.post(JOBS, json=SPEC, headers={"X-CSRF-Token": token})).status_code == 403


async def test_a_key_in_a_header_needs_no_csrf_token(door: Door) -> None:
    async with signed_in(door) as (browser, _):
        assert (await browser.post(JOBS, json=SPEC, headers=BEARER)).status_code == 201


async def test_logging_out_ends_the_session_and_takes_the_cookies_back(door: Door) -> None:
    async with signed_in(door) as (browser, csrf):
        kept = dict(browser.cookies)
        assert (await browser.post("/auth/logout")).status_code == 403
        answer = await browser.post("/auth/logout", headers={"X-CSRF-Token": csrf})
        assert answer.status_code == 204
        assert not dict(browser.cookies)
    async with door.browser() as thief:
        thief.cookies.update(kept)
        assert (await thief.get(JOBS)).status_code == 401
    assert await door.actions() == ["session.closed", "session.opened"]


async def test_signing_in_anew_ends_the_session_that_was_there(door: Door) -> None:
    async with signed_in(door) as (browser, _):
        earlier = dict(browser.cookies)
        assert (await browser.post("/auth/session", headers=BEARER)).status_code == 201
        assert dict(browser.cookies)["hybridci_session"] != earlier["hybridci_session"]
        assert (await browser.get(JOBS)).status_code == 200
    async with door.browser() as other:
        other.cookies.update(earlier)
        assert (await other.get(JOBS)).status_code == 401


async def test_a_planted_cookie_does_not_become_a_session(door: Door) -> None:
    async with door.browser() as browser:
        browser.cookies.set("hybridci_session", "hci_session_planted", domain="ci.example.com")
        answer = await browser.post("/auth/session", headers=BEARER)
        assert answer.status_code == 201
        assert "planted" not in answer.headers["set-cookie"]


@pytest.mark.parametrize("origin", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_another_site_cannot_sign_anybody_in(door: Door, origin: dict[str, str]) -> None:
    answer = await post(door, "/auth/session", {**BEARER, **origin})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_only_a_key_or_an_id_token_opens_a_session(door: Door) -> None:
    session = await post(door, "/auth/session", BEARER)
    token = session.cookies["hybridci_session"]
    agent = await key_of(door, Role.AGENT, kind=CredentialKind.AGENT)
    exchanged = await key_of(door, Role.DEVELOPER, kind=CredentialKind.TOKEN)
    for presented, status in ((token, 403), (agent, 403), (exchanged, 403), ("wrong", 401), ("", 401)):
        answer = await post(door, "/auth/session", {"Authorization": f"Bearer {presented}"})
        assert answer.status_code == status, answer.text
        assert "set-cookie" not in answer.headers
    assert (await door.actions()).count("session.refused") == 5


async def test_a_session_lasts_no_longer_than_its_key(door: Door) -> None:
    key = await key_of(door, Role.VIEWER, ttl_seconds=600)
    answer = await post(door, "/auth/session", {"Authorization": f"Bearer {key}"})
    assert answer.status_code == 201
    max_age = int(answer.headers["set-cookie"].split("Max-Age=")[1].split(";")[0])
    assert 590 <= max_age <= 600


async def test_a_session_ends_when_its_key_is_revoked(door: Door) -> None:
    key = await key_of(door, Role.VIEWER)
    async with door.browser() as browser:
        await browser.post("/auth/session", headers={"Authorization": f"Bearer {key}"})
        assert (await browser.get(JOBS)).status_code == 200
        revoked = await browser.delete(f"/api/access/keys/{key.split('_')[2]}", headers=BEARER)
        assert revoked.is_success
        assert (await browser.get(JOBS)).status_code == 401


async def test_a_session_that_has_expired_is_401(door: Door) -> None:
    async with signed_in(door) as (browser, csrf):
        services: Services = door.app.state.services
        authenticator: Any = services.authenticator
        authenticator._clock = lambda: services.clock() + 86_401_000
        assert (await browser.get(JOBS)).status_code == 401
        assert (await browser.post("/auth/logout", headers={"X-CSRF-Token": csrf})).status_code == 401


async def test_validate_tells_whom_each_kind_of_credential_stands_for(door: Door) -> None:
    agent = await key_of(door, Role.AGENT, kind=CredentialKind.AGENT, ttl_seconds=60)
    async with signed_in(door) as (browser, csrf):
        by_cookie = (await browser.post("/auth/validate", headers={"X-CSRF-Token": csrf})).json()
    by_key = (await post(door, "/auth/validate", BEARER)).json()
    by_token = (await post(door, "/auth/validate", {"Authorization": f"Bearer {agent}"})).json()
    assert by_key == {"subject": "admin", "kind": "key", "grants": [{"role": "admin"}]}
    assert (by_cookie["subject"], by_cookie["kind"]) == ("admin", "session")
    assert by_token["expires_at"] > 0
    for bad in ("wrong", agent[:-1] + ("a" if agent[-1] != "a" else "b")):
        answer = await post(door, "/auth/validate", {"Authorization": f"Bearer {bad}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert (await post(door, "/auth/validate")).status_code == 401


async def test_a_key_is_not_signed_out_but_a_token_is(door: Door) -> None:
    assert (await post(door, "/auth/logout", {"Authorization": f"Bearer {AGENT_KEY}"})).status_code == 409
    token = await key_of(door, Role.DEVELOPER, kind=CredentialKind.TOKEN)
    assert (await post(door, "/auth/logout", {"Authorization": f"Bearer {token}"})).status_code == 204
    assert (await post(door, "/auth/validate", {"Authorization": f"Bearer {token}"})).status_code == 401


async def test_a_session_may_do_what_its_key_may_and_no_more(door: Door) -> None:
    key = await key_of(door, Role.VIEWER)
    async with door.browser() as browser:
        csrf = (await browser.post("/auth/session", headers={"Authorization": f"Bearer {key}"})).json()["csrf_token"]
        assert (await browser.get(JOBS)).status_code == 200
        assert (await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": csrf})).status_code == 403


async def test_attempts_of_an_address_are_limited(door: Door) -> None:
    async with door.browser() as client:
        statuses = [(await client.post("/auth/session")).status_code for _ in range(35)]
        assert statuses[:30] == [401] * 30
        assert set(statuses[30:]) == {429}
        answer = await client.post("/auth/session")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert (await door.actions()).count("session.refused") == 30


async def test_beginning_a_login_is_limited_too(door: Door) -> None:
    async with door.browser() as client:
        statuses = {(await client.get("/auth/login?issuer=none")).status_code for _ in range(60)}
        limited = await client.get("/auth/login?issuer=none")
        assert (statuses, limited.status_code) == ({422}, 429)
        door.elapsed[0] += 61
        assert (await client.get("/auth/login?issuer=none")).status_code == 422


async def test_bodies_are_read_as_strictly_as_everywhere(door: Door) -> None:
    for body, status in (
        (b"{", 400),
        (b'{"id_token": 3}', 422),
        (b'{"id_token": ""}', 422),
        (b'{"password": "x"}', 422),
        (b'{"id_token": "x.y.z", "issuer": "nobody"}', 422),
    ):
        async with door.browser() as client:
            answer = await client.post("/auth/session", content=body)
        assert answer.status_code == status, answer.text
    async with door.browser() as client:
        form = await client.post("/auth/session", data={"id_token": "x"}, headers=BEARER)
        assert form.status_code == 415
        assert (await client.post("/auth/session?key=x", headers=BEARER)).status_code == 422


async def test_no_secret_is_logged_or_answered(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    forged = door.issuer.token(aud="elsewhere", email="secret-claim@example.com")
    answers: list[httpx.Response] = []
    async with signed_in(door) as (browser, csrf):
        session = dict(browser.cookies)["hybridci_session"]
        answers.append(await browser.post("/auth/session", json={"id_token": forged}))
        answers.append(await browser.post("/auth/token", json={"subject_token": forged}))
        answers.append(await browser.post("/auth/token", json={"subject_token": 7, "requested": forged}))
        answers.append(await browser.post(JOBS, json=SPEC, headers={"X-CSRF-Token": f"{csrf}x"}))
        await browser.post("/auth/logout", headers={"X-CSRF-Token": csrf})
        browser.cookies.set("hybridci_session", session, domain="ci.example.com")
        answers.append(await browser.get(JOBS))
    assert {answer.status_code for answer in answers} <= {401, 403, 422, 503}
    told = caplog.text + "".join(answer.text for answer in answers) + "".join(map(str, await door.events()))
    told += "".join(str(vars(record)) for record in caplog.records if record.name.startswith(("api", "activities")))
    for secret in (forged, forged.split(".")[2], session, csrf, ADMIN_KEY, "secret-claim"):
        assert secret not in told


@pytest.mark.parametrize(
    ("environment", "host", "url", "secure"),
    [
        ("development", "127.0.0.1", None, False),
        ("development", "127.0.0.1", "http://localhost:8000", False),
        ("development", "127.0.0.1", "https://ci.example.com/", True),
        ("development", "0.0.0.0", None, True),
        ("production", "127.0.0.1", None, True),
    ],
)
def test_cookies_are_secure_but_on_ones_own_machine(environment: str, host: str, url: str | None, secure: bool) -> None:
    found = open_sign_in(None, environment=environment, host=host, public_url=url, session_seconds=60)
    assert found.secure_cookies is secure
    assert not (found.public_url or "").endswith("/")


def test_a_public_url_must_be_https() -> None:
    with pytest.raises(ValueError, match="HYBRIDCI_PUBLIC_URL"):
        open_sign_in(None, environment="production", host="::", public_url="http://ci.example.com", session_seconds=60)


def test_by_default_nobody_is_trusted() -> None:
    assert not SignIn.by_key_only().issuers
