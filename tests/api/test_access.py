"""API keys over HTTP: shown once, scoped, rotated with overlap, revoked at once, and never in a log or an error."""

import logging
import re
from typing import Any

import pytest

from api.auth.limits import RateLimits
from api.auth.tokens import digest_of, new_token, read_token
from tests.api.conftest import ADMIN_KEY, SPEC, Bench, client, memory_app
from tests.api.gate import KEYS, Gate
from workflows.contracts.access import CredentialKind
from workflows.contracts.audit.events import EventQuery


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


async def test_a_whole_key_in_an_address_is_not_repeated(gate: Gate) -> None:
    """Somebody in a hurry revokes the key that leaked, and not its id."""
    made = await gate.make({"role": "viewer"})
    secret = made["key"].rpartition("_")[2]
    for path in (f"/api/access/keys/{made['key']}", f"/api/agents/{made['key']}", f"/{made['key']}"):
        for method in ("GET", "DELETE"):
            answer = await gate.bench.admin.request(method, path)
            assert answer.status_code in {404, 405}
            assert secret[:8] not in answer.text
            assert made["key_id"] in answer.text


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
    app, _, _, _ = memory_app(RateLimits(changes=4, reads=5, agent_requests=7, failures=3))
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
            assert "HYBRIDCI_RATE_LIMIT_" in answers[limit].json()["detail"]
        fresh = (await admin.post(KEYS, json={"name": "y", "grants": [{"role": "viewer"}]})).json()["key"]
        wrong = [(await anyone.get("/info", headers={"Authorization": "Bearer wrong"})).status_code for _ in range(5)]
        assert wrong == [401, 401, 401, 429, 429]
        assert (await anyone.get("/info", headers={"Authorization": f"Bearer {fresh}"})).status_code == 200
        for _ in range(20):
            assert (await admin.get("/info")).status_code == 200


async def test_changes_and_reads_are_counted_apart_and_a_busy_ci_is_let_in() -> None:
    app, *_ = memory_app(RateLimits(changes=4, reads=5))
    async with client(app, ADMIN_KEY) as admin, client(app, None) as anyone:
        made = await admin.post(KEYS, json={"name": "ci", "grants": [{"role": "developer"}]})
        headers = {"Authorization": f"Bearer {made.json()['key']}"}
        changes = [await anyone.post("/api/dashboard/jobs", json={}, headers=headers) for _ in range(5)]
        assert [answer.status_code for answer in changes] == [422, 422, 422, 422, 429]
        assert "HYBRIDCI_RATE_LIMIT)" in changes[-1].json()["detail"]
        assert "/api/queue/jobs/batch" in changes[-1].json()["detail"]
        assert (await anyone.get("/info", headers=headers)).status_code == 200
    a_minute = RateLimits()
    assert a_minute.changes >= 20 * 60
    assert a_minute.reads >= 2 * 20 * 60


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


async def test_a_key_is_somebodys(gate: Gate) -> None:
    """Whoever makes it, unless the admin says whose it is; a machine's is nobody's in person."""
    own = await gate.make({"role": "admin"}, name="rita", owner="Rita <rita@example.com>")
    assert (own["owner"], own["machine"], own["maker"]) == ("Rita <rita@example.com>", False, "admin")
    by_default = await gate.make(name="plain")
    assert (by_default["owner"], by_default["maker"]) == ("admin", "admin")
    by_rita = (await gate.ask(own["key"], "POST", KEYS, json={"name": "x", "grants": [{"role": "viewer"}]})).json()
    assert (by_rita["owner"], by_rita["maker"]) == ("rita@example.com", "rita@example.com")
    machine = await gate.make(name="ci", machine=True)
    assert (machine["owner"], machine["machine"]) == (None, True)
    rotated = await gate.ask(own["key"], "POST", f"{KEYS}/{by_default['key_id']}/rotate")
    assert (rotated.json()["owner"], rotated.json()["maker"]) == ("admin", "rita@example.com"), "who saw the secret"
    blank = await gate.bench.admin.post(KEYS, json={"name": "x", "grants": [{"role": "viewer"}], "owner": " "})
    assert (blank.status_code, blank.json()["errors"][0]["field"]) == (422, "owner")
    for text in ("ann@example.com, bob@example.com", "\u3164", "ann@example.com\u3164"):
        body = {"name": "x", "grants": [{"role": "viewer"}], "owner": text}
        odd = await gate.bench.admin.post(KEYS, json=body)
        assert (odd.status_code, odd.json()["errors"][0]["field"]) == (422, "owner"), ascii(text)


async def test_a_key_of_before_owners_owns_itself_until_it_is_claimed(gate: Gate) -> None:
    made = await gate.make(name="old")
    stored = await gate.bench.stores.credentials.get(made["key_id"])
    assert stored is not None
    before = stored.model_copy(update={"owner": None, "maker": None, "revision": stored.revision + 1})
    assert await gate.bench.stores.credentials.put(before, [])
    url = f"{KEYS}/{made['key_id']}"
    assert (await gate.ask(ADMIN_KEY, "GET", url)).json()["owner"] is None
    assert await gate.status(made["key"], "POST", f"{url}/claim", json={"owner": "bob"}) == 403, "an admin says whose"
    claimed = await gate.ask(ADMIN_KEY, "POST", f"{url}/claim", json={"owner": "bob@example.com"})
    assert (claimed.status_code, claimed.json()["owner"]) == (200, "bob@example.com")
    kept = await gate.bench.stores.credentials.get(made["key_id"])
    assert kept is not None
    assert kept.makers == ["admin"], "who says so may have seen it"
    again = await gate.ask(ADMIN_KEY, "POST", f"{url}/claim", json={"owner": "cat@example.com"})
    assert (again.status_code, "it is bob@example.com's" in again.json()["detail"]) == (409, True)
    for wrong, field in (({}, "owner"), ({"owner": ""}, "owner"), ({"owner": "x", "machine": "no"}, "machine")):
        refused = await gate.ask(ADMIN_KEY, "POST", f"{url}/claim", json=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert await gate.status(ADMIN_KEY, "POST", f"{KEYS}/0123456789abcdef/claim", json={"owner": "x"}) == 404
    (event,) = (await gate.bench.stores.events.list(EventQuery(action="access.key_claimed"))).items
    assert (event.details["owner"], event.details["credential_id"]) == ("bob@example.com", made["key_id"])


async def test_keys_of_one_name_are_different_callers(gate: Gate) -> None:
    """For what is done once under an Idempotency-Key, and in the trail; a rotated key stays the caller that it was."""
    one, other = await gate.make(name="ci"), await gate.make(name="ci")
    headers = {"Idempotency-Key": "build-7"}

    async def submit(key: str) -> tuple[int, str]:
        answer = await gate.ask(key, "POST", "/api/dashboard/jobs", json=SPEC, headers=headers)
        return answer.status_code, answer.json()["job_id"]

    first, second = await submit(one["key"]), await submit(other["key"])
    assert (first[0], second[0], first[1] != second[1]) == (201, 201, True)
    rotated = (await gate.ask(ADMIN_KEY, "POST", f"{KEYS}/{one['key_id']}/rotate")).json()
    assert await submit(rotated["key"]) == (200, first[1])
    twice = (await gate.ask(ADMIN_KEY, "POST", f"{KEYS}/{rotated['key_id']}/rotate")).json()
    assert await submit(twice["key"]) == (200, first[1])
    await gate.bench.register()
    reason = {"reason": "look"}
    admin = await gate.make({"role": "operator"}, name="ci")
    hold = "/api/dashboard/services/checkout/environments/production/hold"
    assert await gate.status(admin["key"], "POST", hold, json=reason) == 200
    command = gate.bench.releases.commands[-1]
    assert (command.by, command.key_id) == ("key:ci", admin["key_id"])
