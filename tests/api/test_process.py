"""The API as a process of its own on real servers: starts without Temporal, recovers, serves, and ends cleanly."""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from activities.stores.open import ensure_schema
from activities.stores.settings import StoreSettings
from api.cli.stack.launching import launch
from tests import servers
from tests.api.conftest import ADMIN_KEY, AGENT_KEY, SPEC

HYBRIDCI = str(Path(sys.executable).parent / "hybridci")
JOBS = "/api/dashboard/jobs"


@dataclass(frozen=True, slots=True)
class Stack:
    """A running API with its Temporal, and what it answered before Temporal was there."""

    temporal: servers.Server
    api: httpx.Client
    agent: httpx.Client
    environment: Mapping[str, str]
    ready_without_temporal: httpx.Response
    submit_without_temporal: httpx.Response
    list_without_temporal: httpx.Response


@contextmanager
def process(command: list[str], environment: Mapping[str, str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    child = launch(command, log, env=environment)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        try:
            code = child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise
        assert code == 0, log.read_text()[-3000:]


def base_environment(aws_endpoint: str, temporal: str) -> dict[str, str]:
    dropped = ("AWS_", "TEMPORAL_", "HYBRIDCI_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return inherited | {
        "TEMPORAL_ADDRESS": temporal,
        "ENVIRONMENT": "apiprocess",
        "DYNAMODB_ENDPOINT_URL": aws_endpoint,
        "S3_ENDPOINT_URL": aws_endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "HYBRIDCI_ADMIN_KEY": ADMIN_KEY,
        "HYBRIDCI_AGENT_KEY": AGENT_KEY,
        "HYBRIDCI_SIGNING_KEY": "a secret of the API and the worker, long enough",
        "HYBRIDCI_PORT": str(servers.free_port()),
    }


def create_tables(environment: Mapping[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        asyncio.run(ensure_schema(StoreSettings()))


def client(environment: Mapping[str, str], key: str = ADMIN_KEY) -> httpx.Client:
    url = f"http://127.0.0.1:{environment['HYBRIDCI_PORT']}"
    return servers.http(url, key)


def follow(api: httpx.Client, job_id: str, begun: threading.Event, into: list[bytes]) -> None:
    with api.stream("GET", f"{JOBS}/{job_id}/logs?follow=true") as answer:
        begun.set()
        into.append(answer.read())


def answers(api: httpx.Client, path: str, status: int) -> bool:
    try:
        return api.get(path).status_code == status
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def stack(aws_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("api-process")
    temporal = servers.temporal_server(folder)
    environment = base_environment(aws_endpoint, temporal.address)
    create_tables(environment)
    with (
        process([HYBRIDCI, "api"], environment, folder / "api.log"),
        client(environment) as api,
        client(environment, AGENT_KEY) as agent,
    ):
        servers.wait_until(lambda: answers(api, "/health", 200), seconds=60, what="the API's start")
        before = api.get("/health/ready"), api.post(JOBS, json=SPEC), api.get(JOBS)
        with servers.running(temporal), process([HYBRIDCI, "worker"], environment, folder / "worker.log"):
            servers.wait_until(lambda: answers(api, "/health/ready", 200), seconds=60, what="readiness")
            yield Stack(temporal, api, agent, environment, *before)


def test_without_temporal_it_serves_and_says_what_is_missing(stack: Stack) -> None:
    ready, submit = stack.ready_without_temporal, stack.submit_without_temporal
    assert (ready.status_code, submit.status_code) == (503, 503)
    assert [error["field"] for error in ready.json()["errors"]] == ["temporal"]
    assert "Temporal" in submit.json()["detail"]
    assert stack.list_without_temporal.status_code == 200


def test_a_job_goes_through_the_real_parts(stack: Stack) -> None:
    headers = {"Idempotency-Key": "real"}
    created = stack.api.post(JOBS, json={**SPEC, "pool": "nobody", "metadata": {"n": 0.1}}, headers=headers)
    assert created.status_code == 201, created.text
    job = created.json()
    path = f"{JOBS}/{job['job_id']}"
    assert stack.api.get(path).json() == job
    assert (
        stack.api.post(JOBS, json={**SPEC, "pool": "nobody", "metadata": {"n": 0.1}}, headers=headers).status_code
        == 200
    )
    assert stack.api.post(JOBS, json=SPEC, headers=headers).json()["code"] == "conflict"
    assert stack.api.patch(path, json={"priority": "LOW"}).json()["priority"] == "LOW"
    assert [item["job_id"] for item in stack.api.get(JOBS, params={"pool": "nobody"}).json()["items"]] == [
        job["job_id"]
    ]
    assert stack.api.post(f"{path}/cancel", json={"reason": "enough"}).json()["status"] == "cancelled"
    assert stack.api.patch(path, json={"priority": "HIGH"}).json()["code"] == "invalid_state"
    again = stack.api.post(f"{path}/retry")
    assert (again.status_code, again.json()["retry_of"]) == (201, job["job_id"])
    assert stack.api.post(f"{JOBS}/{again.json()['job_id']}/cancel").status_code == 200
    assert stack.api.post(f"{JOBS}/00000000-0000-4000-8000-000000000000/cancel").status_code == 404


def test_what_agents_deliver_is_kept_in_the_real_stores(stack: Stack) -> None:
    job_id = str(stack.api.post(JOBS, json={**SPEC, "pool": "delivers"}).json()["job_id"])
    put, who = f"/api/queue/jobs/{job_id}/attempts/1", {"agent_id": "by-hand", "pool": "delivers"}
    made = stack.agent.post("/api/agents/register", json={**who, "instance": "instance-1", "via": "http"})
    own = {"Authorization": f"Bearer {made.json()['token']}"}
    answer = stack.agent.post("/api/queue/claim", json={**who, "wait_seconds": 10}, headers=own)
    assert answer.status_code == 200, answer.text
    claimed = answer.json()["jobs"]
    assert [claim["job_id"] for claim in claimed] == [job_id]
    lease = {"agent_id": "by-hand", "lease_token": claimed[0]["lease_token"]}
    assert stack.agent.patch(f"/api/queue/jobs/{job_id}/start", json=lease, headers=own).is_success
    data = os.urandom(2_000_000)
    digest = hashlib.sha256(data).hexdigest()
    assert stack.agent.put(
        f"{put}/log/0", content=data[:1000], headers={"Log-Marks": "[[0, 1700000000000]]", **own}
    ).is_success
    assert stack.agent.put(f"{put}/log/1000", content=b"", headers={"Log-Final": "true", **own}).is_success
    sent = stack.agent.put(f"{put}/artifacts/dist/a.bin", content=data, headers={"Content-SHA256": digest, **own})
    assert sent.status_code == 204, sent.text
    assert stack.api.get(f"{JOBS}/{job_id}/logs").content == data[:1000]
    assert stack.api.get(f"{JOBS}/{job_id}/artifacts").json()["items"] == [
        {"path": "dist/a.bin", "size": len(data), "sha256": digest}
    ]
    assert stack.api.get(f"{JOBS}/{job_id}/artifacts/dist/a.bin").content == data
    assert stack.api.delete(f"/api/queue/jobs/{job_id}").status_code == 200


def test_a_dead_letter_that_never_was_is_refused_by_the_workflow(stack: Stack) -> None:
    job_id = str(stack.api.post(JOBS, json={**SPEC, "pool": "nobody"}).json()["job_id"])
    answer = stack.api.post(f"/api/queue/dead-letters/{job_id}/redrive")
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    bulk = stack.api.post("/api/queue/dead-letters/redrive", json={"filter": {"pool": "nobody"}})
    url = bulk.json()["url"]
    servers.wait_until(
        lambda: stack.api.get(url).json().get("state") == "finished", seconds=15, what="the bulk redrive's end"
    )
    assert stack.api.post("/api/queue/maintenance/requeue-expired").json()["closed"] == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /%ff%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health?\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /api/queue/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/queue/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /api/queue/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/queue/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x00\xa5",
    ],
)
def test_raw_bytes_never_bring_a_500(stack: Stack, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(stack.environment["HYBRIDCI_PORT"])), timeout=5) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = connection.recv(65_536)
        except ConnectionResetError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 5"), answer
    assert answers(stack.api, "/health", 200)


def test_a_body_that_breaks_off_starts_nothing(stack: Stack) -> None:
    before = stack.api.get("/api/queue/stats").json()["total"]
    head = (
        f"POST /api/queue/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Length: 500\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(stack.environment["HYBRIDCI_PORT"])), timeout=5) as connection:
        connection.sendall(head.encode() + b'{"job_type": ')
    assert answers(stack.api, "/health", 200)
    assert stack.api.get("/api/queue/stats").json()["total"] == before


def test_it_recovers_when_temporal_comes_back(stack: Stack) -> None:
    stack.temporal.kill()
    servers.wait_until(lambda: answers(stack.api, "/health/ready", 503), seconds=60, what="noticing the outage")
    stack.temporal.start()
    servers.wait_until(lambda: answers(stack.api, "/health/ready", 200), seconds=60, what="recovery")
    created: list[httpx.Response] = []

    def submitted() -> bool:
        headers = {"Idempotency-Key": "recovered"}
        created[:] = [stack.api.post(JOBS, json={**SPEC, "pool": "nobody"}, headers=headers)]
        return created[0].is_success

    servers.wait_until(submitted, seconds=60, what="the control worker's recovery")
    assert stack.api.delete(f"/api/queue/jobs/{created[0].json()['job_id']}").status_code == 200


def test_it_ends_cleanly_with_followers_and_calls_in_flight(stack: Stack, tmp_path: Path) -> None:
    job_id = str(stack.api.post(JOBS, json={**SPEC, "pool": "nobody"}).json()["job_id"])
    for number in range(3):
        environment = {**stack.environment, "HYBRIDCI_PORT": str(servers.free_port())}
        with process([HYBRIDCI, "api"], environment, tmp_path / f"{number}.log") as child, client(environment) as api:
            servers.wait_until(lambda: answers(api, "/health/ready", 200), seconds=60, what="the API's start")
            begun, followed = threading.Event(), list[bytes]()
            follower = threading.Thread(target=follow, args=(api, job_id, begun, followed))
            follower.start()
            submitter = threading.Thread(target=lambda: api.post(f"{JOBS}/{job_id}/retry"))
            submitter.start()
            submitter.join()
            assert begun.wait(60)
            time.sleep(0.2)  # the follower is in its stream
            child.send_signal(signal.SIGINT if number else signal.SIGTERM)
            assert child.wait(timeout=60) == 0
            follower.join()
            assert b"the server is stopping" in followed[0]
    assert stack.api.delete(f"/api/queue/jobs/{job_id}").status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"HYBRIDCI_ADMIN_KEY": ""}, "set HYBRIDCI_ADMIN_KEY"),
        ({"HYBRIDCI_ADMIN_KEY": "", "HYBRIDCI_ADMIN_KEY_FILE": "/does/not/exist"}, "cannot be read"),
        ({"HYBRIDCI_PORT": "taken"}, "set HYBRIDCI_PORT"),
        ({"HYBRIDCI_PORT": "99999"}, "PORT"),
        ({"HYBRIDCI_HOST": "no.such.host.invalid"}, "set HYBRIDCI_HOST"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
    ],
)
def test_it_refuses_to_start_with_one_sentence(aws_endpoint: str, changes: dict[str, str], words: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        if changes.get("HYBRIDCI_PORT") == "taken":
            changes = {"HYBRIDCI_PORT": str(taken.getsockname()[1])}
        environment = base_environment(aws_endpoint, "127.0.0.1:1") | changes
        done = subprocess.run([HYBRIDCI, "api"], env=environment, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert words in text
    assert len(text.strip().splitlines()) == 1, text
