"""Whatever goes wrong, the answer is a problem document with an id, and never a 500 for what a client sends."""

import json
import logging

import httpx
import pytest

from api.http.middleware import MAX_BODY_BYTES
from tests.api.conftest import DEPLOYMENT, SERVICE, SPEC, Bench
from workflows.contracts.errors import Unavailable

JOBS = "/api/dashboard/jobs"
START = json.dumps(SPEC)[:-1].encode()


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"job_type": "\xff"}', 400),
        (START + b', "metadata": {"a": "\\ud800"}}', 400),
        (START + b', "metadata": {"\\udfff": 1}}', 400),
        (START + b', "metadata": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400),
        (b"[" * 500_000, 400),
        (START + b', "metadata": {"a": ' + b"9" * 100_000 + b"}}", 400),
        (START + b', "metadata": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}", 422),
        (START + b', "metadata": {"a": NaN}}', 422),
        (START + b', "metadata": {"a": -Infinity}}', 422),
        (START + b', "metadata": {"a": 1e999}}', 422),
        (START + b', "retry": {"backoff": NaN}}', 422),
        (START + b', "timeout_seconds": 1e999}', 422),
        (START + b', "timeout_seconds": 123456789012345678901234567890}', 422),
        (START + b', "timeout_seconds": "60"}', 422),
        (START + b', "timeout_seconds": true}', 422),
        (START + b', "env": {"A": "\\u0000"}}', 422),
        (b"null", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"1", 422),
    ],
)
async def test_strange_bodies_are_refused(bench: Bench, body: bytes, status: int) -> None:
    answer = await bench.admin.post(JOBS, content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, status, {400: "malformed_body", 422: "validation_failed"}[status])
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "body",
    [
        START + b', "metadata": {"a": ' + b"9" * 4000 + b"}}",
        START + b', "metadata": {"a": 1e308, "b": -0.0, "c": 5e-324, "d": "\\uffff"}}',
        START + b', "job_type": "twice"}',
    ],
)
async def test_strange_but_valid_bodies_are_kept(bench: Bench, body: bytes) -> None:
    answer = await bench.admin.post(JOBS, content=body)
    assert answer.status_code == 201, answer.text
    read = await bench.admin.get(f"{JOBS}/{answer.json()['job_id']}")
    assert read.content == answer.content


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ";"]
)
async def test_only_json_is_taken(bench: Bench, kind: str) -> None:
    answer = await bench.admin.post(JOBS, content=json.dumps(SPEC), headers={"Content-Type": kind})
    assert_problem(answer, 415, "unsupported_media_type")


async def test_unknown_addresses_and_methods(bench: Bench) -> None:
    assert_problem(await bench.admin.get("/api/nothing"), 404, "not_found")
    assert_problem(await bench.admin.get(JOBS + "/"), 404, "not_found")
    refused = await bench.admin.put(JOBS)
    assert_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"]


async def test_large_bodies_are_refused_by_their_declared_length(bench: Bench) -> None:
    assert_problem(await bench.admin.post(JOBS, content=b" " * (MAX_BODY_BYTES + 1)), 413, "payload_too_large")


async def test_large_bodies_are_refused_while_they_arrive(bench: Bench) -> None:
    async def endless():  # type: ignore[no-untyped-def]
        for _ in range(40):
            yield b" " * 65_536

    answer = await bench.admin.post(JOBS, content=endless())
    assert "content-length" not in answer.request.headers
    assert_problem(answer, 413, "payload_too_large")


async def test_large_headers_are_refused(bench: Bench) -> None:
    assert_problem(await bench.admin.get(JOBS, headers={"X-Long": "x" * 40_000}), 431, "headers_too_large")


async def test_a_job_above_the_limit_is_refused_by_its_size(bench: Bench) -> None:
    answer = await bench.admin.post(JOBS, json={**SPEC, "metadata": {"a": "x" * 300_000}})
    assert_problem(answer, 422, "validation_failed")
    assert "bytes long" in answer.json()["errors"][0]["message"]


async def test_a_request_id_is_kept_when_it_is_harmless(bench: Bench) -> None:
    kept = await bench.admin.get("/health", headers={"X-Request-Id": "build-7.x:1"})
    assert kept.headers["x-request-id"] == "build-7.x:1"
    for strange in ("a b", "x" * 200, '"><script>', ""):
        answer = await bench.admin.get("/health", headers={"X-Request-Id": strange})
        assert len(answer.headers["x-request-id"]) == 32


async def test_an_unforeseen_failure_tells_only_an_id(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def fail(job: object) -> None:
        raise ZeroDivisionError("the inner secret")

    bench.job_client.on_submit = fail
    with caplog.at_level(logging.ERROR):
        answer = await bench.admin.post(JOBS, json=SPEC)
    assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in answer.json()["detail"]
    assert "the inner secret" in caplog.text


async def test_every_kind_of_refusal_is_a_problem(bench: Bench) -> None:
    services, deployments = "/api/dashboard/services/checkout", "/api/dashboard/deployments"
    put, post, keyed = bench.admin.put, bench.admin.post, {"Idempotency-Key": "k"}
    assert_problem(await put(services, content=b"{"), 400, "malformed_body")
    assert_problem(await bench.anyone.put(services, json=SERVICE), 401, "unauthorized")
    assert_problem(await bench.agent.put(services, json=SERVICE), 403, "forbidden")
    assert_problem(await bench.admin.get(services), 404, "not_found")
    assert_problem(await bench.admin.patch(services, json=SERVICE), 405, "method_not_allowed")
    assert_problem(await put(services, json=SERVICE, headers={"If-Match": "*"}), 412, "precondition_failed")
    assert_problem(await put(services, content=b" " * (MAX_BODY_BYTES + 1)), 413, "payload_too_large")
    assert_problem(await put(services, content=b"a", headers={"Content-Type": "x/y"}), 415, "unsupported_media_type")
    assert_problem(await put(services, json={}), 422, "validation_failed")
    assert_problem(await post(deployments, json=DEPLOYMENT), 422, "validation_failed")
    await bench.register()
    url = (await post(deployments, json=DEPLOYMENT, headers=keyed)).headers["location"]
    assert_problem(await post(deployments, json={**DEPLOYMENT, "version": "2"}, headers=keyed), 409, "conflict")
    assert_problem(await post(url + "/rollback", json={"reason": "x"}), 409, "invalid_state")
    bench.releases.failure = Unavailable("Temporal does not answer.")
    assert_problem(await post(url + "/approve"), 503, "unavailable")


async def test_long_and_many_bad_fields_keep_the_answer_short(bench: Bench) -> None:
    body = {**SPEC, **{f"{number}" + "x" * 1000: 1 for number in range(500)}}
    answer = await bench.admin.post(JOBS, json=body)
    assert_problem(answer, 422, "validation_failed")
    assert len(answer.content) < 80_000
    assert len(answer.json()["errors"]) == 100
