"""API keys over HTTP: shown once, scoped, rotated with overlap, revoked at once, and never in a log or an error."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.auth.issuing import issue
from api.auth.limits import RateLimits
from api.auth.tokens import digest_of, new_token, read_token
from tests.api.conftest import ADMIN_KEY, DEPLOYMENT, SERVICE, SPEC, Bench, client, memory_app
from workflows.contracts.access import CredentialKind, Grant, Role
from workflows.contracts.deployments import EventQuery
from workflows.contracts.statuses import JobStatus

KEYS = "/api/access/keys"


@dataclass(frozen=True, slots=True)
class Gate:
    """The application with its own clock and monotonic time, and somebody to ask it."""

    bench: Bench

    async def make(self, *grants: dict[str, Any], name: str = "ci", **more: object) -> dict[str, Any]:
        body = {"name": name, "grants": list(grants) or [{"role": "developer"}], **more}
        answer = await self.bench.admin.post(KEYS, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def status(self, key: str, method: str = "GET", path: str = "/info", **more: Any) -> int:
        return (await self.ask(key, method, path, **more)).status_code

    async def ask(self, key: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        return await self.bench.anyone.request(method, path, headers=headers, **more)


@pytest.fixture
async def gate(bench: Bench) -> Gate:
    return Gate(bench)


async def test_a_key_is_shown_once_and_kept_as_a_digest(gate: Gate) -> None:
    grants = [{"role": "developer", "services": ["checkout"]}]
    made = await gate.make(*grants, name="ci of checkout", expires_seconds=3600)
    assert read_token(made["key"]) is not None
    assert (made["status"], made["subject"]) == ("active", "key:ci of checkout")
    assert made["expires_at"] - made["created_at"] == 3_600_000
    credential = await gate.bench.stores.credentials.get(made["key_id"])
    assert credential is not None
    assert credential.digest == digest_of(made["key"])
    shown = [await gate.bench.admin.get(KEYS), await gate.bench.admin.get(f"{KEYS}/{made['key_id']}")]
    assert shown[0].json()["items"] == [shown[1].json()]
    assert shown[1].json() == {name: value for name, value in made.items() if name != "key"}
    for answer in shown:
        assert made["key"] not in answer.text
        assert credential.digest not in answer.text
    events = (await gate.bench.stores.events.list(EventQuery(action="access."))).items
    assert [(each.action, each.by, each.role, each.via) for each in events] == [
        ("access.key_issued", "admin", "admin", "api")
    ]
    assert events[0].details["credential_id"] == made["key_id"]
    assert "digest" not in events[0].details


async def test_what_is_not_a_key_is_refused_by_name(gate: Gate) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"grants": [{"role": "viewer"}]}, "name"),
        ({"name": "x", "grants": []}, "grants"),
        ({"name": "x", "grants": [{"role": "king"}]}, "grants.0.role"),
        ({"name": "x", "grants": [{"role": "viewer", "services": []}]}, "grants.0.services"),
        ({"name": "x", "grants": [{"role": "viewer"}], "expires_seconds": 1}, "expires_seconds"),
    ]
    for body, field in wrong:
        answer = await gate.bench.admin.post(KEYS, json=body)
        assert answer.status_code == 422
        assert field in [error["field"] for error in answer.json()["errors"]]
    for path in ("nothing", "%2e%2e", "a" * 100, "0123456789abcdef"):
        for method in ("GET", "DELETE"):
            assert await gate.status(ADMIN_KEY, method, f"{KEYS}/{path}") == 404
        assert await gate.status(ADMIN_KEY, "POST", f"{KEYS}/{path}/rotate") == 404


async def test_a_revoked_key_opens_nothing_from_that_moment(gate: Gate) -> None:
    made = await gate.make()
    assert await gate.status(made["key"]) == 200
    for _ in range(2):
        ended = await gate.bench.admin.delete(f"{KEYS}/{made['key_id']}")
        assert (ended.status_code, ended.json()["status"]) == (200, "revoked")
    assert await gate.status(made["key"]) == 401
    actions = [each.action for each in (await gate.bench.stores.events.list(EventQuery())).items]
    assert sorted(actions) == ["access.key_issued", "access.key_revoked"]


@pytest.mark.parametrize("overlap", [0, 3600])
async def test_a_rotated_key_works_until_its_overlap_ends(gate: Gate, overlap: int) -> None:
    old = await gate.make({"role": "operator", "pools": ["linux"]})
    answer = await gate.bench.admin.post(f"{KEYS}/{old['key_id']}/rotate", json={"overlap_seconds": overlap})
    new = answer.json()
    assert answer.status_code == 201
    assert (new["grants"], new["subject"], new["expires_at"]) == (old["grants"], old["subject"], None)
    assert new["key"] != old["key"]
    assert await gate.status(new["key"]) == 200
    assert await gate.status(old["key"]) == (200 if overlap else 401)
    shown = (await gate.bench.admin.get(f"{KEYS}/{old['key_id']}")).json()
    assert shown["replaced_by"] == new["key_id"]
    assert shown["status"] == ("ending" if overlap else "expired")
    again = await gate.bench.admin.post(f"{KEYS}/{old['key_id']}/rotate")
    assert again.status_code == 409
    assert new["key_id"] in again.json()["detail"]


async def test_nobody_gives_away_more_than_they_have(gate: Gate) -> None:
    half = await gate.make({"role": "admin", "operations": ["access:manage", "read"]})
    for grants, expected in (
        ([{"role": "viewer"}], 201),
        ([{"role": "viewer", "services": ["cart"]}], 201),
        ([{"role": "developer"}], 403),
        ([{"role": "admin"}], 403),
        ([{"role": "admin", "operations": ["read"]}], 201),
    ):
        assert await gate.status(half["key"], "POST", KEYS, json={"name": "x", "grants": grants}) == expected
    full = await gate.make({"role": "admin"})
    assert await gate.status(half["key"], "POST", f"{KEYS}/{full['key_id']}/rotate") == 403
    local = await gate.make({"role": "admin", "services": ["cart"]})
    assert await gate.status(local["key"], "GET", KEYS) == 403


async def test_only_an_admin_acts_for_somebody_else(gate: Gate) -> None:
    await gate.bench.register()
    job_id = await gate.bench.submit()
    deployment_id = await gate.bench.deploy()
    approver = await gate.make({"role": "approver"})
    url = f"/api/dashboard/deployments/{deployment_id}/reject"
    refused = await gate.ask(approver["key"], "POST", url, json={"reason": "no", "by": "ann@example.com"})
    assert refused.status_code == 403
    assert "leave `by` out" in refused.json()["detail"]
    assert await gate.status(approver["key"], "POST", f"/api/dashboard/jobs/{job_id}/cancel") == 403


async def test_a_use_is_noted(gate: Gate) -> None:
    made = await gate.make()
    for _ in range(3):
        assert await gate.status(made["key"]) == 200
    authenticator = gate.bench.app.state.services.authenticator
    await authenticator.settle()
    credential = await gate.bench.stores.credentials.get(made["key_id"])
    assert credential is not None
    assert credential.last_used_at is not None


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
    dead = await gate.bench.orchestrator.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    assert dead.status is JobStatus.DEAD_LETTERED
    letter = f"/api/queue/dead-letters/{job_id}"
    assert await gate.status(key, "PATCH", letter, json={"pool": "mac"}) == 403
    assert await gate.status(key, "POST", letter, json={"edit": {"pool": "mac"}}) == 403
    assert await gate.status(key, "POST", letter, json={"edit": {"pool": "linux"}}) == 200


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
    assert await start(agent, mine, "build-1") == 204
    assert await log(agent, mine) == await log(key, mine) == 204
    other = await token_of(gate, "build-2", "linux")
    assert await log(other, mine) == 403
    assert await start(other, mine, "build-2") == 403
    headers = {"Content-SHA256": "0" * 64}
    artifact = await gate.ask(
        other, "PUT", f"/api/queue/jobs/{mine}/attempts/1/artifacts/a", content=b"x", headers=headers
    )
    assert artifact.status_code == 403
    assert await log(agent, "00000000-0000-4000-8000-000000000000") == 404


async def test_the_trail_is_filtered_and_exported(gate: Gate) -> None:
    made = [await gate.make(name=f"k{number}") for number in range(120)]
    await gate.bench.admin.delete(f"{KEYS}/{made[0]['key_id']}")
    events = "/api/events"
    revoked = (await gate.bench.admin.get(events, params={"action": "access.key_revoked"})).json()["items"]
    assert [each["details"]["credential_id"] for each in revoked] == [made[0]["key_id"]]
    for params, count in (
        ({"by": "admin", "action": "access.key_issued", "limit": 100}, 100),
        ({"by": "nobody"}, 0),
        ({"job_id": "none"}, 0),
        ({"agent_id": "none"}, 0),
        ({"since": 1 << 52}, 0),
        ({"until": 1}, 0),
    ):
        assert len((await gate.bench.admin.get(events, params=params)).json()["items"]) == count, params
    exported = await gate.bench.admin.get(f"{events}/export", params={"action": "access."})
    assert exported.headers["content-type"] == "application/jsonl"
    lines = exported.text.splitlines()
    assert len(lines) == 121
    assert all(re.fullmatch(r'\{"event_id":.*\}', line) for line in lines)
    assert (await gate.bench.admin.get(f"{events}/export", params={"since": -1})).status_code == 422


async def test_secrets_are_in_no_log_and_no_error(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = await gate.make()
    rotated = (await gate.bench.admin.post(f"{KEYS}/{made['key_id']}/rotate")).json()
    mistyped = made["key"][:-1] + ("a" if made["key"][-1] != "a" else "b")
    answers = [
        await gate.ask(secret, method, path)
        for secret in (made["key"], rotated["key"], mistyped)
        for method, path in (("GET", "/info"), ("GET", KEYS), ("POST", "/api/dashboard/jobs"), ("GET", "/nowhere"))
    ]
    assert {answer.status_code for answer in answers} == {200, 400, 401, 403, 404}
    said = "\n".join([*(str(record.__dict__) for record in caplog.records), *(answer.text for answer in answers)])
    assert "finished" in said
    for secret in (made["key"], rotated["key"], mistyped, digest_of(made["key"])):
        assert secret not in said
        assert secret[-40:] not in said


async def test_too_many_requests_are_told_when_to_come_back() -> None:
    app, _, _, _ = memory_app(RateLimits(requests=5, agent_requests=7, failures=3))
    async with client(app, ADMIN_KEY) as admin, client(app, None) as anyone:
        key = (await admin.post(KEYS, json={"name": "x", "grants": [{"role": "viewer"}]})).json()["key"]
        agent = (await admin.post(KEYS, json={"name": "a", "grants": [{"role": "agent"}]})).json()["key"]
        for secret, limit in ((key, 5), (agent, 7)):
            headers = {"Authorization": f"Bearer {secret}"}
            answers = [await anyone.get("/info", headers=headers) for _ in range(limit + 1)]
            assert 429 not in [answer.status_code for answer in answers[:limit]]
            assert answers[limit].status_code == 429
            assert answers[limit].json()["code"] == "too_many_requests"
            assert 1 <= int(answers[limit].headers["retry-after"]) <= 60
        fresh = (await admin.post(KEYS, json={"name": "y", "grants": [{"role": "viewer"}]})).json()["key"]
        wrong = [(await anyone.get("/info", headers={"Authorization": "Bearer wrong"})).status_code for _ in range(5)]
        assert wrong == [401, 401, 401, 429, 429]
        assert (await anyone.get("/info", headers={"Authorization": f"Bearer {fresh}"})).status_code == 200
        for _ in range(20):
            assert (await admin.get("/info")).status_code == 200


async def test_a_flood_of_unknown_tokens_reaches_no_store_and_stops_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, stores, _, _ = memory_app(RateLimits(failures=10))
    reads: list[str] = []

    async def get(credential_id: str) -> None:
        reads.append(credential_id)

    async with client(app, ADMIN_KEY) as admin, client(app, None) as anyone:
        key = (await admin.post(KEYS, json={"name": "x", "grants": [{"role": "viewer"}]})).json()["key"]
        monkeypatch.setattr(stores.credentials, "get", get)
        jobs = "/api/dashboard/jobs"

        async def ask(presented: str, path: str = jobs) -> int:
            return (await anyone.get(path, headers={"Authorization": f"Bearer {presented}"})).status_code

        flood = [await ask(new_token(CredentialKind.KEY)[0]) for _ in range(100)]
        assert flood == [401] * 10 + [429] * 90
        assert [await ask("garbage"), await ask(key), await ask(ADMIN_KEY)] == [429, 200, 200]
        assert (await anyone.get(jobs)).status_code == 401
        assert await ask("garbage", "/api/openapi.json") == await ask("garbage", "/health") == 200
        webhook = await anyone.post("/api/webhooks/github", headers={"Authorization": "Bearer garbage"})
        assert webhook.status_code == 404
    assert len(reads) == 10


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
