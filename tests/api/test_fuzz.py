"""Any bytes, any JSON, any path, any headers: an answer, never a 500, and nothing created by what was refused."""

import asyncio
import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import ADMIN_KEY, AGENT_TOKEN, SERVICE, SPEC, memory_app

PATHS = [
    "/api/dashboard/jobs",
    "/api/queue/jobs/batch",
    "/api/queue/dead-letters/redrive",
    "/api/dashboard/jobs/00000000-0000-4000-8000-000000000000/cancel",
    "/api/queue/dead-letters/00000000-0000-4000-8000-000000000000",
    "/api/dashboard/deployments",
    "/api/dashboard/deployments/00000000-0000-4000-8000-000000000000/metrics",
    "/api/dashboard/services/checkout/environments/production/freezes",
    "/api/agents/agent-7/heartbeat",
    "/api/agents/agent-7/pause",
    "/api/agents/pools/linux/scale",
]
FIELDS = [*SPEC, "env", "metadata", "retry", "labels", "tags", "timeout_seconds", "priority", "items", "filter", "edit"]
SERVICE_FIELDS = [*SERVICE, "git_ref", "labels", "build", "test", "definition", "description", "wrong"]
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
bodies = st.binary(max_size=400) | st.dictionaries(st.sampled_from(FIELDS), any_json, max_size=6).map(
    lambda fields: json.dumps({**SPEC, **fields}).encode()
)
many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_app, _stores, _, _stop = memory_app()
_stop.append(True)  # followers of logs end at once


@dataclass(slots=True)
class Answer:
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    body: bytes = b""


@many
@given(path=st.sampled_from(PATHS), body=bodies)
def test_any_body(path: str, body: bytes) -> None:
    before = total()
    answer = ask("POST", path.encode(), body=body)
    created = answer.status in {201, 207}
    assert (total() > before) == created
    if answer.status >= 400:
        assert answer.headers[b"content-type"] == b"application/problem+json"
    json.loads(answer.body, parse_constant=_no_constants)


@many
@given(
    body=st.binary(max_size=300)
    | st.text(alphabet="[]{}:,-?&*!|>'\"%@` \n\tab1#<\\\x00é", max_size=80).map(str.encode)
    | st.dictionaries(st.sampled_from(SERVICE_FIELDS), any_json, max_size=5).map(
        lambda fields: json.dumps({**SERVICE, **fields}).encode()
    ),
    media=st.sampled_from([b"application/json", b"application/yaml", b"text/x-yaml", b"text/yaml; charset=x"]),
)
def test_any_bytes_as_a_service(body: bytes, media: bytes) -> None:
    before = registered("checkout")
    answer = ask("PUT", b"/api/dashboard/services/checkout", body=body, headers=[(b"content-type", media)])
    if answer.status >= 400:
        assert answer.headers[b"content-type"] == b"application/problem+json"
        assert registered("checkout") == before
    json.loads(answer.body, parse_constant=_no_constants)


@many
@given(
    prefix=st.sampled_from(
        [
            b"/",
            b"/api/dashboard/jobs/",
            b"/api/queue/",
            b"/api/dashboard/jobs/agent/",
            b"/api/dashboard/services/",
            b"/api/dashboard/deployments/",
            b"/api/events",
        ]
    ),
    path=st.binary(max_size=40),
    query=st.binary(max_size=40) | st.sampled_from([b"limit=%ff", b"cursor=%00", b"status=%F0%9F%98%80", b"a=" * 500]),
)
def test_any_address(prefix: bytes, path: bytes, query: bytes) -> None:
    ask("GET", prefix + path, query=query)


@many
@given(
    name=st.sampled_from(
        [
            "idempotency-key",
            "content-type",
            "x-request-id",
            "content-length",
            "last-event-id",
            "accept",
            "host",
            "cookie",
            "if-match",
            "if-none-match",
            "user-agent",
        ]
    ),
    value=st.binary(max_size=80),
)
def test_any_header(name: str, value: bytes) -> None:
    ask("POST", PATHS[0].encode(), body=json.dumps(SPEC).encode(), headers=[(name.encode(), value)])
    service = json.dumps(SERVICE).encode()
    ask("PUT", b"/api/dashboard/services/headers", body=service, headers=[(name.encode(), value)])


def ask(
    method: str, raw_path: bytes, *, query: bytes = b"", body: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()
) -> Answer:
    """One request as a server hands it over, without a client that would refuse to send it. Asserts: no 500."""
    answer = Answer()
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": [(b"authorization", f"Bearer {_key(raw_path)}".encode()), *headers],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], dict(message["headers"])
        else:
            answer.body += message.get("body", b"")

    asyncio.run(_app(scope, receive, send))
    assert 200 <= answer.status < 500, (answer.status, answer.body)
    assert answer.headers[b"x-request-id"]
    return answer


def _key(raw_path: bytes) -> str:
    return AGENT_TOKEN if raw_path.endswith(b"/heartbeat") else ADMIN_KEY


def registered(name: str) -> object:
    return asyncio.run(_stores.services.get(name))


def total() -> int:
    return asyncio.run(_stores.jobs.queue_stats()).total


def _no_constants(name: str) -> None:
    raise AssertionError(f"the answer holds {name}, which is no JSON")
