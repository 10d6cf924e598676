"""No key, no entry: on every route there is, also on those that will be added."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr, ValidationError
from starlette.responses import PlainTextResponse

from api.app import build_app
from api.auth.guard import Guard
from api.auth.keys import KeyRing, UnusableKey
from api.auth.permissions import ROUTES, Open
from api.auth.principal import Principal
from api.auth.walk import require_complete
from api.server import server_config
from api.settings import ApiSettings
from tests.api.conftest import SPEC, Bench, memory_app
from workflows.contracts.access import Role

OPEN = {
    "/",
    "/health",
    "/health/ready",
    "/api/docs",
    "/api/docs/oauth2-redirect",
    "/api/docs/assets",
    "/api/openapi.json",
    "/api/schemas/{name}.json",
}
SIGNED = {"/api/webhooks/{provider}"}
"""A webhook's signature is its key; tests/api/test_webhooks.py sees that none gets in without."""
SIGN_IN = {"/auth/issuers", "/auth/login", "/auth/callback", "/auth/session", "/auth/token"}
"""The ways in; tests/api/test_sessions.py, test_oidc.py and test_workloads.py see that they are narrow."""


PAGES = {route.partition(" ")[2] for route, need in ROUTES.items() if need is Open.PAGE}
"""Each asks the API, as its browser's session; tests/api/dashboard sees what that lets whom do."""


def guards(dependant: object) -> list[Guard]:
    if not isinstance(dependant, Dependant):
        return []
    own = [dependant.call] if isinstance(dependant.call, Guard) else []
    return own + [found for inner in dependant.dependencies for found in guards(inner)]


def test_every_route_is_guarded() -> None:
    app, *_ = memory_app()
    seen: set[str] = set()
    for route in iter_route_contexts(app.routes):
        path = str(route.path)
        seen.add(path)
        if path not in OPEN | SIGNED | SIGN_IN | PAGES:
            assert guards(getattr(route, "dependant", None)), f"{path} is not guarded"
    assert seen >= OPEN | SIGNED | SIGN_IN
    assert len(seen) > 25


def test_a_route_that_nobody_has_placed_is_a_start_up_error() -> None:
    known, *_ = memory_app()
    app = build_app(known.state.services)
    app.add_api_route("/api/forgotten", lambda: None, methods=["GET", "POST"])
    with pytest.raises(RuntimeError, match="GET /api/forgotten, POST /api/forgotten"):
        require_complete(app)


@pytest.mark.parametrize("path", sorted(OPEN))
async def test_open_routes_need_no_key(bench: Bench, path: str) -> None:
    address = f"{path}/swagger-ui.css" if path.endswith("assets") else path.replace("{name}", "service")
    answer = await bench.anyone.get(address)
    assert answer.status_code in {200, 307}


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "Bearer \xe9", "x" * 5000])
async def test_no_or_a_wrong_key_is_401(bench: Bench, header: str | None) -> None:
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]
    answer = await bench.anyone.post("/api/dashboard/jobs", json=SPEC, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "admin.key" in answer.json()["detail"]
    assert (await bench.stores.jobs.queue_stats()).total == 0


async def test_an_agent_key_opens_only_what_attempts_deliver(bench: Bench) -> None:
    job_id = await bench.submit()
    refused = [
        await bench.agent.get("/api/dashboard/jobs"),
        await bench.agent.get(f"/api/dashboard/jobs/{job_id}"),
        await bench.agent.post("/api/queue/jobs", json=SPEC),
        await bench.agent.delete(f"/api/queue/jobs/{job_id}"),
        await bench.agent.get("/metrics"),
    ]
    assert [answer.status_code for answer in refused] == [403] * 5
    assert refused[0].json()["code"] == "forbidden"
    await bench.start(job_id)


async def test_the_key_is_asked_for_before_the_body_is_read(bench: Bench) -> None:
    answer = await bench.anyone.post("/api/dashboard/jobs", content=b"{not json")
    assert answer.status_code == 401


def test_keys_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_env, from_file = "from-env".ljust(32, "x"), "from-file".ljust(32, "x")
    (tmp_path / "agent.key").write_text(f"{from_file}\n")
    monkeypatch.setenv("HYBRIDCI_ADMIN_KEY", from_env)
    monkeypatch.setenv("HYBRIDCI_AGENT_KEY_FILE", str(tmp_path / "agent.key"))
    ring = ApiSettings().key_ring()
    admin, agent = ring.principal(from_env), ring.principal(from_file)
    assert admin is not None
    assert agent is not None
    assert (admin.role, agent.role) == (Role.ADMIN, Role.AGENT)
    assert ring.principal(from_file[:-1]) is None


def test_unusable_keys_are_refused_with_a_sentence(tmp_path: Path) -> None:
    missing = ApiSettings(admin_key_file=tmp_path / "nothing")
    both = ApiSettings(admin_key=SecretStr("a"), admin_key_file=tmp_path / "nothing")
    same = ApiSettings(admin_key=SecretStr("s" * 32), agent_key=SecretStr("s" * 32))
    spaced = ApiSettings(admin_key=SecretStr("a b" * 11))
    short = ApiSettings(admin_key=SecretStr("a" * 31))
    short_agent = ApiSettings(admin_key=SecretStr("a" * 32), agent_key=SecretStr("abcde"))
    for settings, words in (
        (ApiSettings(), "set HYBRIDCI_ADMIN_KEY"),
        (missing, "cannot be read"),
        (both, "keep one of them"),
        (same, "give each its own"),
        (spaced, "printable ASCII"),
        (short, "The admin key has 31 characters, so it could be guessed"),
        (short_agent, "The agent key has 5 characters"),
    ):
        with pytest.raises(UnusableKey, match=words):
            settings.key_ring()


def test_an_agent_key_alone_is_not_enough() -> None:
    with pytest.raises(UnusableKey, match="No admin key"):
        KeyRing([("k", Principal.everywhere("agent", Role.AGENT))])


async def addresses(trusted: str, forwarded: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the application sees of a client at 127.0.0.1 that says this of itself."""
    monkeypatch.setenv("HYBRIDCI_TRUSTED_PROXIES", trusted)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own variable, which is not ours

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(scope["client"][0])(scope, receive, send)

    config: Any = server_config(app, [str(proxy) for proxy in ApiSettings().trusted_proxies])
    config.load()
    transport = httpx.ASGITransport(app=config.loaded_app, client=("127.0.0.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as asking:
        return (await asking.get("/", headers={"X-Forwarded-For": forwarded})).text


async def test_a_client_cannot_say_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await addresses("", "198.51.100.7", monkeypatch) == "127.0.0.1"
    assert await addresses("203.0.113.0/24", "198.51.100.7", monkeypatch) == "127.0.0.1"


async def test_behind_a_trusted_proxy_the_client_is_the_last_that_is_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "192.0.2.1, 198.51.100.7, 203.0.113.9"
    assert await addresses("127.0.0.1, 203.0.113.0/24", said, monkeypatch) == "198.51.100.7"


def test_a_proxy_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDCI_TRUSTED_PROXIES", "proxy.example.com")
    with pytest.raises(ValidationError, match="HYBRIDCI_TRUSTED_PROXIES"):
        ApiSettings()
