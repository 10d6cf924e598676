"""The codec's endpoint: who may read sealed payloads, from which page, and what is refused."""

import dataclasses
import json

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload, Payloads

from api.app import build_app
from tests.api.conftest import ADMIN_KEY, AGENT_KEY, Bench, memory_app
from workflows.payloads.sealing import SealingCodec

UI = "http://127.0.0.1:8233"
CODEC = SealingCodec([bytes(32)])
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"a value"')


@pytest.fixture
def client() -> httpx.AsyncClient:
    app, *_ = memory_app()
    services = dataclasses.replace(app.state.services, codec=CODEC)
    transport = httpx.ASGITransport(build_app(services, temporal_ui=UI))
    return httpx.AsyncClient(transport=transport, base_url="https://ci.example.com")


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Origin": UI}


async def test_sealed_payloads_are_opened_for_who_may(client: httpx.AsyncClient) -> None:
    [sealed] = await CODEC.encode([PLAIN])
    body = MessageToDict(Payloads(payloads=[sealed]))
    answer = await client.post("/api/codec/decode", json=body, headers=_bearer(ADMIN_KEY))
    assert answer.status_code == 200, answer.text
    assert answer.json() == MessageToDict(Payloads(payloads=[PLAIN]))
    assert answer.headers["Access-Control-Allow-Origin"] == UI
    back = await client.post("/api/codec/encode", json=answer.json(), headers=_bearer(ADMIN_KEY))
    assert "a value" not in back.text
    assert (
        await client.post("/api/codec/decode", json=back.json(), headers=_bearer(ADMIN_KEY))
    ).json() == answer.json()
    assert (await client.post("/api/codec/decode", json=body, headers=_bearer(AGENT_KEY))).status_code == 403
    assert (await client.post("/api/codec/decode", json=body)).status_code == 401


async def test_a_signed_in_person_reads_in_the_temporal_ui(client: httpx.AsyncClient) -> None:
    """The UI's page sends the cookie and cannot know the CSRF token: reading needs none, changing does."""
    opened = await client.post("/auth/session", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
    assert opened.status_code == 201, opened.text
    [sealed] = await CODEC.encode([PLAIN])
    body = MessageToDict(Payloads(payloads=[sealed]))
    asked = "/api/codec/decode?preserveStorageRefs=true"  # as the UI of 2.54 asks
    answer = await client.post(asked, json=body, headers={"Origin": UI, "X-Namespace": "default"})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Credentials"]) == (200, "true")
    assert (await client.post("/api/codec/decode?else=1", json=body, headers={"Origin": UI})).status_code == 422
    other = await client.post("/api/dashboard/jobs", json={}, headers={"Origin": UI})
    assert other.status_code == 403
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_no_other_sites_page_may_read(client: httpx.AsyncClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    ours = await client.options("/api/codec/decode", headers={"Origin": UI, **asked})
    theirs = await client.options("/api/codec/decode", headers={"Origin": "https://evil.example", **asked})
    assert (ours.status_code, ours.headers["Access-Control-Allow-Origin"]) == (200, UI)
    assert theirs.status_code == 400
    assert "Access-Control-Allow-Origin" not in theirs.headers


@pytest.mark.parametrize("body", [b"", b"{", b'{"payloads": 1}', b'{"other": []}', b"[" * 5000])
async def test_what_is_no_payload_is_named(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/codec/decode", content=body, headers=_bearer(ADMIN_KEY))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "payloads"


async def test_a_payload_of_another_key_says_so(client: httpx.AsyncClient) -> None:
    foreign = await SealingCodec([b"\1" * 32]).encode([PLAIN])
    body = json.dumps(MessageToDict(Payloads(payloads=foreign))).encode()
    answer = await client.post("/api/codec/decode", content=body, headers=_bearer(ADMIN_KEY))
    assert answer.status_code == 422
    assert "HYBRIDCI_CODEC_KEYS_FILE" in answer.json()["errors"][0]["message"]


async def test_without_a_codec_it_says_that_nothing_is_sealed(bench: Bench) -> None:
    answer = await bench.admin.post("/api/codec/decode", json={"payloads": []})
    assert answer.status_code == 404
    assert "HYBRIDCI_CODEC_KEYS_FILE" in answer.json()["detail"]
