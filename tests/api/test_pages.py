"""What browsers are told of our pages, and by which names the server is asked."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from api.http.hosts import LOOPBACK_NAMES, KnownHosts, host_of, hosts_for
from api.http.pages import PageHeaders
from api.settings import ApiSettings
from tests.api.conftest import Bench


def policy_of(answer: httpx.Response) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in answer.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/oauth2-redirect"])
async def test_a_page_loads_its_own_only_and_is_framed_by_nobody(bench: Bench, path: str) -> None:
    answer = await bench.anyone.get(path)
    assert answer.status_code == 200
    policy = policy_of(answer)
    assert (policy["default-src"], policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'", "'none'")
    assert (answer.headers["x-content-type-options"], answer.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert len(scripts) == len(re.findall(r"<script(?![^>]*src=)", answer.text)) > 0
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    assert policy["script-src"] == " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    assert "unsafe" not in policy["script-src"]


async def test_what_is_no_page_runs_nothing_and_is_not_sniffed(bench: Bench) -> None:
    for path in ("/health", "/api/openapi.json", "/nothing", "/api/dashboard/jobs", "/", "/auth/login?issuer=x"):
        answer = await bench.admin.get(path)
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_page_in_pieces_is_whole_with_its_policy() -> None:
    async def page(_: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for piece in ("<script>a", "()</script>", "<p>x"):
                yield piece

        return StreamingResponse(pieces(), media_type="text/html")

    app = PageHeaders(Starlette(routes=[Route("/", page)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get("/")
    assert answer.text == "<script>a()</script><p>x"
    assert base64.b64encode(hashlib.sha256(b"a()").digest()).decode() in policy_of(answer)["script-src"]


@pytest.mark.parametrize(
    ("authority", "host"),
    [("Example.COM:80", "example.com"), ("[::1]:8000", "::1"), ("a.", "a"), ("", ""), ("[bad", ""), ("a@b", "b")],
)
def test_a_host_is_its_name(authority: str, host: str) -> None:
    assert host_of(authority) == host


def test_what_only_this_machine_reaches_is_asked_by_its_names() -> None:
    assert hosts_for("127.0.0.1", [], None) == LOOPBACK_NAMES
    assert hosts_for("127.0.0.1", [], "https://ci.example.com/x") == LOOPBACK_NAMES | {"ci.example.com"}
    assert hosts_for("0.0.0.0", [], "https://ci.example.com") is None
    assert hosts_for("0.0.0.0", ["CI.example.com"], None) == LOOPBACK_NAMES | {"ci.example.com"}
    assert hosts_for("127.0.0.1", ["*"], None) is None


async def ok(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("a.ci.example.com", 200),
        ("ci.example.com", 421),
        ("evil.example.org:8000", 421),
        ("localhost.evil.example.org", 421),
        ("localhost@evil.example.org", 421),
        ("", 421),
    ],
)
async def test_a_rebound_name_gets_no_answer(host: str, status: int) -> None:
    routes = [Route("/", ok), Route("/health", ok)]
    app = KnownHosts(Starlette(routes=routes), LOOPBACK_NAMES | {"*.ci.example.com"})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get("/", headers={"Host": host})
        assert answer.status_code == status
        if status == 421:
            assert answer.json()["code"] == "unknown_host"
            assert "HYBRIDCI_ALLOWED_HOSTS" in answer.json()["detail"]
        assert (await client.get("/health", headers={"Host": host})).status_code == 200  # load balancers


def test_the_settings_name_hosts_and_folders_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDCI_ALLOWED_HOSTS", "a.example.com, *.b.example.com")
    monkeypatch.setenv("HYBRIDCI_DISK_FOLDERS", "/data,/tmp")
    settings = ApiSettings()
    assert settings.allowed_hosts == ["a.example.com", "*.b.example.com"]
    assert [str(each) for each in settings.disk_folders] == ["/data", "/tmp"]
