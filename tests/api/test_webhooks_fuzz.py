"""Any bytes, any JSON in a genuine request, any headers, for every shipped manifest: an answer, never a 500."""

import asyncio
import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any, cast
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.webhooks.payloads import FORM
from api.webhooks.verify import sign
from tests.webhooks.bench import NOW, SECRET, all_webhooks, memory_parts
from tests.webhooks.captured import PAYLOADS, PROVIDERS, captured, provider_of

many = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CAPTURED = {
    name: [each.stem for each in sorted(PAYLOADS.glob("*.json")) if provider_of(each.stem).name == name]
    for name in PROVIDERS
}
CONFIGURED = sorted(name for name in PROVIDERS if name != "sentry")
header_value = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
URLS = [
    "https://github.com/acme/shop.git", "https://gitlab.example.com/acme/shop.git", "https://bitbucket.org/acme/shop",
    "https://git.example.com/scm/acme/shop.git", "https://gitea.example.com/acme/shop.git",
    "https://dev.azure.com/acme/acme/_git/shop",
]  # fmt: skip
_runner = asyncio.Runner()
_app, _bench = memory_parts()


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """Services for the captured payloads, so that what is left of them still asks for something."""
    for number, url in enumerate(URLS):
        anything = {"branches": ["**"], "tags": [{"pattern": "**"}], "deployments": ["**"], "prereleases": True}
        _runner.run(_bench.register("shop" if number == 0 else f"shop-{number}", url, None, anything))
    yield
    _runner.run(_bench.client.aclose())
    _runner.close()


def test_the_captured_requests_get_through() -> None:
    """What the fuzz changes would otherwise act."""
    for name in ("github-push", "gitlab-push", "bitbucket-push", "bitbucket-server-push", "gitea-push",
                 "azure-devops-push", "generic-job", "pagerduty-triggered"):  # fmt: skip
        request = captured(name)
        event = next((value for key, value in request.headers.items() if key.endswith(("-event", "event-key"))), "x")
        before = len(_bench.releases.started) + len(_bench.releases.commands)
        assert ask(provider_of(name).name, request.body, form=False, event=event) == 202
        assert name == "generic-job" or len(_bench.releases.started) + len(_bench.releases.commands) > before, name


@pytest.mark.parametrize("provider", CONFIGURED)
@many
@given(body=st.binary(max_size=300), form=st.booleans(), event=header_value)
def test_any_signed_bytes(provider: str, body: bytes, form: bool, event: str) -> None:
    assert ask(provider, body, form=form, event=event) in {200, 202, 400}


@pytest.mark.parametrize("provider", CONFIGURED)
@many
@given(data=st.data())
def test_any_signed_json_in_the_place_of_any_part(provider: str, data: st.DataObject) -> None:
    """The captured payloads, with parts of them replaced: what gets past the conditions of a rule."""
    request = captured(data.draw(st.sampled_from(CAPTURED[provider])))
    form = request.headers["content-type"].startswith(FORM)
    if form:
        fields = data.draw(
            st.dictionaries(st.sampled_from(["text", "command", "payload", "trigger_id"]), st.text(max_size=30))
        )
        body = "&".join(f"{name}={quote(value, errors='replace')}" for name, value in fields.items()).encode()
    else:
        body = json.dumps(_mutated(json.loads(request.body), data)).encode()
    event = next((value for name, value in request.headers.items() if name.endswith(("-event", "event-key"))), "x")
    assert ask(provider, body, form=form, event=event) in {200, 202, 400, 503}


@many
@given(
    provider=st.text(max_size=30) | st.sampled_from(sorted(PROVIDERS)),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["x-hub-signature-256", "x-slack-signature", "x-slack-request-timestamp", "authorization",
                 "webhook-id", "webhook-timestamp", "webhook-signature", "x-buildkite-signature",
                 "content-type", "content-length"]
            ),
            st.binary(max_size=60),
        ),
        max_size=4,
    ),
    query=st.binary(max_size=60),
    body=st.binary(max_size=60),
)  # fmt: skip
def test_any_unsigned_request(provider: str, headers: list[tuple[str, bytes]], query: bytes, body: bytes) -> None:
    raw = [(name.encode(), value) for name, value in headers]
    assert post(provider, raw, body, query) in {400, 401, 404, 405, 413}


def _mutated(value: Any, data: st.DataObject) -> Any:
    """One to three places of the payload, replaced by anything."""
    changed = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(_places(changed)))
        holder[key] = data.draw(any_json)
    return changed


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (object or list, key) in it."""
    holder: Any = value
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(cast(dict[str, Any], value))
    elif isinstance(value, list):
        keys = list(range(len(cast(list[Any], value))))
    return [(holder, key) for key in keys] + [place for key in keys for place in _places(holder[key])]


def ask(provider: str, body: bytes, *, form: bool, event: str) -> int:
    """Signed as the tool would."""
    content_type = FORM if form else "application/json"
    names = ["x-github-event", "x-gitlab-event", "x-event-key", "x-gitea-event", "x-buildkite-event"]
    given = {"content-type": content_type, "webhook-id": "msg_1", **dict.fromkeys(names, event)}
    signed, query = sign(PROVIDERS[provider].manifest.verify[0], SECRET, body, given, NOW)
    merged = {**given, **{name.lower(): value for name, value in signed.items()}}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in merged.items()]
    text = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    return post(provider, raw, body, text.encode())


def post(provider: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, query: bytes) -> int:
    """One request as a server hands it over. Asserts that the answer is JSON and no 500."""
    _app.state.webhooks = all_webhooks()  # no answer that was remembered
    status, answer = 0, b""
    path = f"/api/webhooks/{provider}"
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": quote(path, errors="replace").encode(),
        "root_path": "",
        "query_string": query,
        "headers": list(headers),
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, answer
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            answer += message.get("body", b"")

    _runner.run(_app(scope, receive, send))
    json.loads(answer)
    assert status != 500, answer
    return status
