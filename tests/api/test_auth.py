"""No key, no entry: on every route there is, also on those that will be added."""

from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from api.app import build_app
from api.auth.guard import Guard
from api.auth.keys import KeyRing, UnusableKey
from api.auth.principal import Principal
from api.auth.walk import require_complete
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
}
SIGNED = {"/api/webhooks/{provider}"}
"""A webhook's signature is its key; tests/api/test_webhooks.py sees that none gets in without."""
SIGN_IN = {"/auth/issuers", "/auth/login", "/auth/callback", "/auth/session", "/auth/token"}
"""The ways in; tests/api/test_sessions.py, test_oidc.py and test_workloads.py see that they are narrow."""


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
        if path not in OPEN | SIGNED | SIGN_IN:
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
    answer = await bench.anyone.get(f"{path}/swagger-ui.css" if path.endswith("assets") else path)
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
    (tmp_path / "agent.key").write_text("from-file\n")
    monkeypatch.setenv("HYBRIDCI_ADMIN_KEY", "from-env")
    monkeypatch.setenv("HYBRIDCI_AGENT_KEY_FILE", str(tmp_path / "agent.key"))
    ring = ApiSettings().key_ring()
    admin, agent = ring.principal("from-env"), ring.principal("from-file")
    assert admin is not None
    assert agent is not None
    assert (admin.role, agent.role) == (Role.ADMIN, Role.AGENT)
    assert ring.principal("from-fil") is None


def test_unusable_keys_are_refused_with_a_sentence(tmp_path: Path) -> None:
    missing = ApiSettings(admin_key_file=tmp_path / "nothing")
    both = ApiSettings(admin_key=SecretStr("a"), admin_key_file=tmp_path / "nothing")
    same = ApiSettings(admin_key=SecretStr("same"), agent_key=SecretStr("same"))
    spaced = ApiSettings(admin_key=SecretStr("a b"))
    for settings, words in (
        (ApiSettings(), "set HYBRIDCI_ADMIN_KEY"),
        (missing, "cannot be read"),
        (both, "keep one of them"),
        (same, "give each its own"),
        (spaced, "printable ASCII"),
    ):
        with pytest.raises(UnusableKey, match=words):
            settings.key_ring()


def test_an_agent_key_alone_is_not_enough() -> None:
    with pytest.raises(UnusableKey, match="No admin key"):
        KeyRing([("k", Principal.everywhere("agent", Role.AGENT))])
