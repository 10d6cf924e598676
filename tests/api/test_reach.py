"""What limited grants reach: a service, a pool, some operations, an agent's own attempts."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest

from api.auth import deliveries
from api.auth.issuing import issue
from tests.api.conftest import ADMIN_KEY, DEPLOYMENT, SERVICE, SPEC, Bench
from tests.api.fakes import DELIVERY_SECRET
from tests.api.gate import Gate
from workflows.contracts.access import CredentialKind, Grant, Role
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.identity.delivery import attempt_key, job_key
from workflows.contracts.records import JobPage, JobQuery
from workflows.contracts.statuses import JobStatus


@pytest.fixture
async def gate(bench: Bench) -> Gate:
    return Gate(bench)


async def test_a_grant_for_a_service_reaches_that_service(gate: Gate) -> None:
    bench = gate.bench
    for name in ("checkout", "cart"):
        await bench.register(name)
    own, other = await bench.deploy(), await bench.deploy(service_name="cart")
    own_job, other_job = await bench.submit(labels={"service": "checkout"}), await bench.submit()
    key = (await gate.make({"role": "operator", "services": ["checkout"]}))["key"]
    deployments, jobs = "/api/dashboard/deployments", "/api/dashboard/jobs"
    for method, path, status in (
        ("GET", f"{deployments}/{own}", 200),
        ("GET", f"{deployments}/{other}", 403),
        ("GET", f"{deployments}/00000000-0000-4000-8000-000000000000", 404),
        ("GET", f"{deployments}/nonsense", 404),
        ("GET", f"{deployments}/{other}/events", 403),
        ("GET", f"{jobs}/{own_job}", 200),
        ("GET", f"{jobs}/{other_job}", 403),
        ("GET", f"{jobs}/{other_job}/logs", 403),
        ("GET", f"{jobs}/nonsense", 404),
        ("POST", f"{jobs}/{other_job}/cancel", 403),
        ("GET", "/api/dashboard/services/checkout", 200),
        ("GET", "/api/dashboard/services/cart", 403),
        ("GET", "/api/dashboard/services/cart/environments", 403),
        ("GET", "/api/events?service_name=checkout", 200),
        ("GET", "/api/events?service_name=cart", 403),
        ("GET", f"/api/events?deployment_id={other}", 403),
        ("GET", "/api/events", 403),
        ("GET", "/api/events/export?service_name=checkout", 200),
        ("GET", "/metrics", 403),
        ("GET", "/metrics?service_name=checkout", 422),
        ("GET", "/api/dashboard/summary", 403),
        ("POST", "/api/queue/maintenance/requeue-expired", 403),
        ("POST", "/api/queue/dead-letters/redrive", 403),
        ("GET", "/info", 200),
    ):
        assert await gate.status(key, method, path) == status, (method, path)
    assert await ids(gate, key, deployments, "deployment_id") == [own]
    assert await ids(gate, key, jobs, "job_id") == [own_job]
    assert await ids(gate, key, "/api/dashboard/services", "name") == ["checkout"]
    start = {**DEPLOYMENT, "version": "2"}
    assert await gate.status(key, "POST", deployments, json=start) == 201
    refused = await gate.ask(key, "POST", deployments, json={**start, "service_name": "cart"})
    assert refused.status_code == 403
    assert "only for service checkout; this is service cart" in refused.json()["detail"]
    assert await gate.status(key, "PUT", "/api/dashboard/services/cart", json=SERVICE) == 403


async def test_a_filter_reaches_no_further_than_the_grant_and_tells_no_number_of_others(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = gate.bench
    own, other = await bench.submit(labels={"service": "checkout"}), await bench.submit(labels={"service": "cart"})
    key = (await gate.make({"role": "operator", "services": ["checkout"]}))["key"]
    found = bench.stores.jobs.list

    async def counted(query: JobQuery) -> JobPage:
        return (await found(query)).model_copy(update={"looked_at": 2})

    monkeypatch.setattr(bench.stores.jobs, "list", counted)
    jobs = f"/api/dashboard/jobs?commit={SPEC['git_commit_sha']}"
    assert await ids(gate, key, jobs, "job_id") == [own]
    assert await ids(gate, key, f"{jobs}&service=cart", "job_id") == []
    page = (await gate.ask(key, "GET", jobs)).json()
    assert set(page) == {"items", "next_cursor", "stopped_early"}
    whole = (await bench.admin.get(jobs)).json()
    assert ({job["job_id"] for job in whole["items"]}, whole["looked_at"]) == ({own, other}, 2)


async def test_a_job_can_be_neither_given_away_nor_taken(gate: Gate) -> None:
    job_id = await gate.bench.submit(labels={"service": "checkout"}, pool="linux")
    key = (await gate.make({"role": "operator", "services": ["checkout"], "pools": ["linux"]}))["key"]
    url = f"/api/dashboard/jobs/{job_id}"
    assert await gate.status(key, "PATCH", url, json={"priority": "LOW"}) == 200
    changes: list[dict[str, Any]] = [{"pool": "mac"}, {"labels": {"service": "cart"}}, {"labels": {}}]
    for change in changes:
        assert await gate.status(key, "PATCH", url, json=change) == 403
    labels = {"service": "checkout"}
    for more, status in (
        ({"labels": labels, "pool": "linux"}, 201),
        ({"labels": labels, "pool": "mac"}, 403),
        ({"pool": "linux"}, 403),
        ({"labels": {"service": "cart"}, "pool": "linux"}, 403),
    ):
        assert await gate.status(key, "POST", "/api/queue/jobs", json={**SPEC, **more}) == status
        batch = {"items": [{**SPEC, "labels": labels, "pool": "linux"}, {**SPEC, **more}]}
        assert await gate.status(key, "POST", "/api/queue/jobs/batch", json=batch) == (207 if status == 201 else 403)
    dead = await gate.bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    assert dead.status is JobStatus.DEAD_LETTERED
    letter = f"/api/queue/dead-letters/{job_id}"
    assert await gate.status(key, "PATCH", letter, json={"pool": "mac"}) == 403
    assert await gate.status(key, "POST", letter, json={"edit": {"pool": "mac"}}) == 403
    assert await gate.status(key, "POST", letter, json={"edit": {"pool": "linux"}}) == 200


async def test_what_a_job_runs_is_changed_by_who_could_submit_it(gate: Gate) -> None:
    job_id = await gate.bench.submit(pool="linux")
    await gate.bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    letter = f"/api/queue/dead-letters/{job_id}"
    limited = {"role": "operator", "operations": ["read", "jobs:operate"], "pools": ["linux"]}
    operates = (await gate.make(limited))["key"]
    submits = (await gate.make({"role": "operator", "pools": ["linux"]}))["key"]
    other = {"steps": [{"name": "s", "run": "env"}]}
    for edit in (other, {"git_commit_sha": "b" * 40}):
        assert await gate.status(operates, "PATCH", letter, json=edit) == 403
        assert await gate.status(operates, "POST", letter, json={"edit": edit}) == 403
        assert await gate.status(submits, "PATCH", letter, json=edit) == 200
    assert await gate.status(operates, "PATCH", letter, json={"timeout_seconds": 7}) == 200


async def test_a_grant_can_leave_operations_out(gate: Gate) -> None:
    key = (await gate.make({"role": "developer", "operations": ["jobs:submit"]}))["key"]
    assert await gate.status(key, "POST", "/api/dashboard/jobs", json=SPEC) == 201
    refused = await gate.ask(key, "GET", "/api/dashboard/jobs")
    assert refused.status_code == 403
    assert refused.json()["detail"] == (
        "This needs read, which the role viewer or developer or operator or approver or admin has;"
        " key:ci has developer for jobs:submit only."
    )


async def test_an_agent_of_a_pool_delivers_for_its_own_attempts_only(gate: Gate) -> None:
    bench = gate.bench
    mine, foreign = await bench.submit(pool="linux"), await bench.submit(pool="mac")
    agent = await token_of(gate, "build-1", "linux")
    key = (await gate.make({"role": "agent", "pools": ["linux"]}))["key"]

    async def start(token: str, job_id: str, name: str, attempt: int = 1) -> int:
        body = {"attempt": attempt, "agent_id": name, "claimed_at": 1_700_000_000_000}
        return await gate.status(token, "PUT", f"/api/queue/jobs/{job_id}/attempts/{attempt}/start", json=body)

    async def log(token: str, job_id: str, attempt: int = 1) -> int:
        return await gate.status(token, "PUT", f"/api/queue/jobs/{job_id}/attempts/{attempt}/log/0", content=b"x")

    assert await start(agent, mine, "build-2") == 403
    assert await start(agent, foreign, "build-1") == 403
    assert await start(key, foreign, "build-1") == 403
    assert await log(agent, foreign) == await log(key, foreign) == 403
    bench.job_client.holders[mine] = "build-1"
    assert await start(agent, mine, "build-1") == 204
    assert await log(agent, mine) == 204
    assert await log(key, mine) == await log(ADMIN_KEY, mine) == 403, "the pool's key, and an admin's, write no log"
    other = await token_of(gate, "build-2", "linux")
    assert await log(other, mine) == 403
    assert await start(other, mine, "build-2") == 403
    headers = {"Content-SHA256": "0" * 64}
    artifact = await gate.ask(
        other, "PUT", f"/api/queue/jobs/{mine}/attempts/1/artifacts/a", content=b"x", headers=headers
    )
    assert artifact.status_code == 403
    assert await log(agent, "00000000-0000-4000-8000-000000000000") == 404


async def test_an_agent_takes_no_attempt_by_announcing_itself_first(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "_ANNOUNCED_WITHIN_SECONDS", 0.0)
    bench = gate.bench
    job_id = await bench.submit(pool="linux")
    bench.job_client.holders[job_id] = "build-1"
    holder, other = [await token_of(gate, name, "linux") for name in ("build-1", "build-2")]
    key = (await gate.make({"role": "agent", "pools": ["linux"]}))["key"]
    digest = {"Content-SHA256": sha256(b"x").hexdigest()}

    async def start(token: str, name: str, attempt: int = 1) -> int:
        body = {"attempt": attempt, "agent_id": name, "claimed_at": 1_700_000_000_000}
        return await gate.status(token, "PUT", f"/api/queue/jobs/{job_id}/attempts/{attempt}/start", json=body)

    async def put(token: str, what: str, attempt: int = 1) -> int:
        path = f"/api/queue/jobs/{job_id}/attempts/{attempt}/{what}"
        return await gate.status(token, "PUT", path, content=b"x", headers=digest)

    assert await start(other, "build-2") == await put(other, "artifacts/a") == await put(other, "log/0") == 403
    assert await put(holder, "artifacts/a") == 204, "before it has announced itself"
    assert await start(holder, "build-1", attempt=2) == await put(holder, "artifacts/a", attempt=2) == 403
    for token in (holder, other, key):
        assert await put(token, "log/0", attempt=2) == 403, "nothing is kept for attempts that there are not"
    assert await start(holder, "build-1") == 204
    assert await put(other, "artifacts/b") == await put(other, "log/0", attempt=2) == 403
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS)
    for token in (holder, other, key):
        assert await put(token, "log/0", attempt=2) == await put(token, "artifacts/a", attempt=2) == 403


async def test_the_key_that_came_with_an_attempt_says_whose_it_is(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of no other attempt, of no other job, and no longer than the attempt has nobody else."""
    monkeypatch.setattr(deliveries, "_ANNOUNCED_WITHIN_SECONDS", 0.0)
    bench = gate.bench
    first, second = await bench.submit(pool="linux"), await bench.submit(pool="linux")
    holder, other = [await token_of(gate, name, "linux") for name in ("build-1", "build-2")]
    foreign = await token_of(gate, "build-3", "windows")

    async def put(token: str, job_id: str, key: str, attempt: int = 1, offset: int = 0) -> int:
        path = f"/api/queue/jobs/{job_id}/attempts/{attempt}/log/{offset}"
        return await gate.status(token, "PUT", path, content=b"x", headers={"Delivery-Key": key})

    keys = {job_id: job_key(DELIVERY_SECRET, job_id) for job_id in (first, second)}
    own = attempt_key(keys[first], 1)
    for wrong in (attempt_key(keys[second], 1), attempt_key(keys[first], 2), attempt_key(job_key(b"x", first), 1)):
        assert await put(holder, first, wrong) == 403
    assert await put(holder, first, own, attempt=2) == await put(holder, first, attempt_key(keys[first], 2), 2) == 403
    assert await put(foreign, first, own) == 403, "not an agent of its pool"
    assert await put(holder, first, keys[first]) == 403, "the job's key is none"
    assert await put(holder, first, own.upper()) == 422
    asked = bench.job_client.asked_for_holder
    assert await put(holder, first, own) == 204
    assert bench.job_client.asked_for_holder == asked, "nobody was asked"
    announcement = AttemptStarted(attempt=1, agent_id="build-1", claimed_at=1_700_000_000_000)
    await bench.job_client.attempt_started(first, announcement)
    assert await put(other, first, own, offset=1) == 403, "it has another agent"


async def test_a_start_that_was_announced_by_a_lease_is_waited_for(gate: Gate) -> None:
    """The poll that brought the claim may have been made in another agent's name."""
    bench = gate.bench
    job_id = await bench.submit(pool="linux")
    bench.job_client.holders[job_id] = "build-1"
    agent = await token_of(gate, "build-2", "linux")
    path, digest = f"/api/queue/jobs/{job_id}/attempts/1/artifacts/a", sha256(b"x").hexdigest()
    putting = asyncio.create_task(gate.status(agent, "PUT", path, content=b"x", headers={"Content-SHA256": digest}))
    await asyncio.sleep(0)
    announcement = AttemptStarted(attempt=1, agent_id="build-2", claimed_at=1_700_000_000_000)
    await bench.job_client.attempt_started(job_id, announcement)
    assert await putting == 204


async def ids(gate: Gate, key: str, path: str, field: str) -> Sequence[str]:
    answer = await gate.ask(key, "GET", path)
    assert answer.status_code == 200
    return [item[field] for item in answer.json()["items"]]


async def token_of(gate: Gate, agent_id: str, pool: str) -> str:
    """As a registration hands it out."""
    issued = await issue(
        gate.bench.app.state.services,
        kind=CredentialKind.AGENT,
        subject=agent_id,
        name=agent_id,
        grants=[Grant(role=Role.AGENT, pools=[pool])],
        ttl_seconds=3600,
        by=None,
        agent_id=agent_id,
    )
    return issued.token
