"""A store that takes no writes, on real servers: whatever Temporal has is accepted, done once, and recorded later."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from tests.api.conftest import DEPLOYMENT, SPEC
from tests.faults.outage import DEAD_LETTERS, DEPLOYMENTS, JOBS, SERVICES, Outage, outage, ready
from tests.faults.store_proxy import How
from tests.servers import wait_until
from tests.workflows.harness import fail

_KEY = b"a secret of the generic provider"
_ANSWER_SECONDS = 14
"""5 s for what is started; a command is known to be taken when its workflow's task is renewed, which takes 8 s."""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    secret = f"whsec_{base64.b64encode(_KEY).decode()}"
    environment = {"HYBRIDCI_WEBHOOK_SECRET_GENERIC": secret}
    with outage(tmp_path_factory.mktemp("outage"), environment) as plant, plant.worker():
        ready(plant)
        yield plant


@pytest.mark.parametrize("how", [How.REFUSE, How.HANG])
def test_nothing_that_will_be_done_is_refused(plant: Outage, how: How) -> None:
    """All kinds of requests at once, each to a workflow of its own, each twice with one key: at both APIs in turn."""
    pool = f"parked-{uuid.uuid4().hex[:8]}"
    queued, edited, *parked = [plant.submit(pool=pool, retry={"max_attempts": 1}) for _ in range(4)]
    with plant.agent(pool, fail()):
        for job_id in (queued, edited, *parked):
            plant.wait(f"{JOBS}/{job_id}", status="dead_lettered")
    waiting, free = plant.submit(), plant.submit()
    service, other = plant.register(approval={}), plant.register()
    approved = plant.deploy(service)
    plant.wait(f"{DEPLOYMENTS}/{approved}", environment="production")
    new, version = f"new-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:8]
    spec = {"git_repo": SPEC["git_repo"], "environments": [{"name": "production", "external": True}]}
    deployment = {**DEPLOYMENT, "service_name": other, "version": version}
    requests: list[tuple[str, str, object]] = [
        ("POST", JOBS, plant.spec()),
        ("POST", "/api/queue/jobs", plant.spec(metadata={"note": "x" * 70_000})),
        ("POST", f"{JOBS}/{parked[0]}/retry", None),
        ("POST", f"{DEAD_LETTERS}/{parked[1]}/redrive", {}),
        ("PATCH", f"{DEAD_LETTERS}/{edited}", {"timeout_seconds": 77}),
        ("DELETE", f"{DEAD_LETTERS}/{queued}", None),
        ("POST", f"{JOBS}/{waiting}/cancel", {}),
        ("PATCH", f"{JOBS}/{free}", {"tags": ["late"]}),
        ("POST", DEPLOYMENTS, deployment),
        ("POST", f"{DEPLOYMENTS}/{approved}/approve", {"by": "bob@example.com"}),
        ("POST", f"{SERVICES}/{other}/environments/production/hold", {"reason": "audit"}),
        ("PUT", f"{SERVICES}/{new}", spec),
    ]
    plant.store.fail(writes=how)
    try:
        with ThreadPoolExecutor(len(requests) + 2) as threads:
            batch = threads.submit(
                _ask, plant.api, "POST", "/api/queue/jobs/batch", {"items": [plant.spec()] * 3}, f"b {how}"
            )
            hook = threads.submit(_deliver, plant, plant.api, delivery := str(uuid.uuid4()))
            told = list(threads.map(partial(_one, plant.api, how), requests))
        for (method, path, _), answer in zip(requests, told, strict=True):
            assert answer.status_code == 202, (method, path, answer.text)
            assert answer.elapsed.total_seconds() < _ANSWER_SECONDS, (method, path, answer.elapsed)
        assert [item["status"] for item in batch.result().json()["items"]] == [202] * 3, batch.result().text
        assert hook.result().status_code == 202, hook.result().text
        bulk = _ask(plant.api, "POST", f"{DEAD_LETTERS}/redrive", {"limit": 1}, f"bulk {how}")
        assert bulk.status_code == 503, "nothing was started: it is not in the audit trail"
        new_job, started = told[0].json(), told[8].json()
        for api in (plant.api, plant.other):
            for url in (new_job["url"], started["url"]):
                shown = api.get(url)
                assert (shown.status_code, shown.headers.get("record-pending")) == (200, "true"), shown.text
            assert api.get(told[11].headers["location"]).status_code == 503, "accepted is not unknown"
    finally:
        plant.store.mend()
    for url in (new_job["url"], told[1].json()["url"], *(_url(item) for item in batch.result().json()["items"])):
        plant.wait(url, status="queued")
    plant.wait(f"{JOBS}/{parked[0]}", status="queued")
    plant.wait(f"{JOBS}/{parked[1]}", status="queued")
    plant.wait(f"{JOBS}/{edited}", timeout_seconds=77, status="dead_lettered")
    plant.wait(f"{JOBS}/{queued}", status="failed")
    plant.wait(f"{JOBS}/{waiting}", status="cancelled")
    plant.wait(f"{JOBS}/{free}", tags=["late"])
    plant.wait(started["url"], version=version)
    plant.wait(f"{SERVICES}/{new}", version=1)
    plant.wait(f"{SERVICES}/{other}/environments/production", environment="production")
    # Given is when it is judged: what the store did not answer is asked again.
    wait_until(lambda: len(plant.wait(f"{DEPLOYMENTS}/{approved}")["approvals"]) == 1, seconds=60, what="the approval")
    again = [_one(plant.other, how, request) for request in requests]
    for (method, path, _), first, second in zip(requests, told, again, strict=True):
        assert second.status_code == 200, (method, path, second.text)
        for name in ("job_id", "deployment_id"):
            assert first.json()[name] == second.json().get(name, first.json()[name])
    for index in (0, 1, 8):
        assert again[index].headers["idempotent-replay"] == "true"
    redelivered = _deliver(plant, plant.other, delivery)
    (one,), (two,) = hook.result().json()["actions"], redelivered.json()["actions"]
    assert (redelivered.headers["idempotent-replay"], two["job_id"]) == ("true", one["job_id"])
    _end(plant, pool)


def test_what_waits_for_the_control_worker_is_accepted_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without one, Temporal itself says what a job or a deployment was started with."""
    with outage(tmp_path_factory.mktemp("away"), {}) as plant:
        with plant.worker():
            ready(plant)
            service, job_id = plant.register(), plant.submit()
        body = {**DEPLOYMENT, "service_name": service}
        started, again = (_ask(api, "POST", DEPLOYMENTS, body, "d") for api in (plant.api, plant.other))
        assert (started.status_code, again.status_code) == (202, 202), (started.text, again.text)
        assert started.json()["deployment_id"] == again.json()["deployment_id"]
        assert ("idempotent-replay" in started.headers, again.headers.get("idempotent-replay")) == (False, "true")
        assert plant.other.get(started.json()["url"]).json()["version"] == DEPLOYMENT["version"]
        bulk = [_ask(api, "POST", f"{DEAD_LETTERS}/redrive", {}, "bulk") for api in (plant.api, plant.other)]
        assert [answer.status_code for answer in bulk] == [202, 202]
        assert ["idempotent-replay" in answer.headers for answer in bulk] == [False, True]
        large = _ask(plant.api, "POST", JOBS, plant.spec(metadata={"note": "x" * 70_000}), "large")
        assert (large.status_code, large.json()["job"]["status"]) == (202, "pending")
        cancelled = _ask(plant.api, "POST", f"{JOBS}/{job_id}/cancel", {}, "cancel")
        assert cancelled.status_code == 503
        assert "not known to be taken" in cancelled.json()["detail"]
        with plant.worker():
            plant.wait(large.json()["url"], status="queued")
            plant.wait(started.json()["url"], service_name=service)
            assert _ask(plant.other, "POST", f"{JOBS}/{job_id}/cancel", {}, "cancel").status_code == 200
            plant.wait(f"{JOBS}/{job_id}", status="cancelled")


def _one(api: httpx.Client, how: How, request: tuple[str, str, object]) -> httpx.Response:
    method, path, body = request
    return _ask(api, method, path, body, f"{how} {method} {path}")


def _ask(api: httpx.Client, method: str, path: str, body: object, key: str) -> httpx.Response:
    return api.request(method, path, json=body, headers={"Idempotency-Key": key}, timeout=40)


def _deliver(plant: Outage, api: httpx.Client, delivery: str) -> httpx.Response:
    body = json.dumps({"type": "job.start", "data": {**SPEC, "pool": "nobody-hook"}}).encode()
    stamp = str(int(time.time()))
    mac = hmac.digest(_KEY, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256)
    headers = {
        "webhook-id": delivery, "webhook-timestamp": stamp, "content-type": "application/json",
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }  # fmt: skip
    return api.post("/api/webhooks/generic", content=body, headers=headers, timeout=40)


def _url(item: dict[str, dict[str, str]]) -> str:
    return f"{JOBS}/{item['job']['job_id']}"


def _end(plant: Outage, pool: str) -> None:
    """Nothing was done twice: of the parked jobs, two are queued again and one has been given up."""
    listed = plant.api.get(JOBS, params={"pool": pool}).json()["items"]
    assert sorted(item["status"] for item in listed) == ["dead_lettered", "failed", "queued", "queued"]
