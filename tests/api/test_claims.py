"""Agents without Temporal: claim, start, heartbeat, complete, on a real Temporal server with the real workflow."""

import asyncio
import base64
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from api.app import build_app
from api.auth.binding import TaskTokens
from api.claims.leases import LeaseToken, LeaseTokens
from api.claims.service import Claims
from tests.api.claiming import CLAIM, SECRET, Desk, Held, desk
from tests.api.conftest import ADMIN_KEY, client
from workflows.contracts.attempts import AttemptInput, signed_bytes
from workflows.contracts.ids import new_job_id
from workflows.contracts.sealed import SpecSignature
from workflows.contracts.statuses import Outcome


@pytest.fixture(scope="module")
async def shared(temporal_client: Client) -> AsyncIterator[Desk]:
    async with desk(temporal_client) as shared:
        yield shared


@pytest.fixture
def at(shared: Desk) -> Desk:
    """The shared desk, with a pool of this test's own."""
    return Desk(shared.http, shared.app, shared.temporal, shared.stores)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json().get("code"))


STALE, FORBIDDEN, NO_JOBS = (409, "stale_lease"), (403, "forbidden"), (404, "no_jobs_available")


async def test_a_claimed_job_runs_to_its_end(at: Desk) -> None:
    job_id = await at.submit(env={"A": "1"})
    asked = time.time() * 1000
    held = await at.claim_one()
    assert held.job_id == job_id
    assert held.claimed["lease_seconds"] == 30
    assert asked + 28_000 < held.claimed["lease_expires_at"] < time.time() * 1000 + 31_000
    assert held.claimed["job"]["steps"][0]["run"] == "pytest -q"
    assert held.claimed["job"]["env"] == {"A": "1"}

    started = await held.say("start")
    assert started.status_code == 200, started.text
    assert started.json()["cancel_requested"] is False
    running = await at.until(job_id, queue_status="RUNNING")
    assert (running["agent_id"], running["status"]) == ("a-1", "running")
    beaten = await held.say("heartbeat")
    assert beaten.json()["lease_expires_at"] >= started.json()["lease_expires_at"]

    done = await held.say("complete", exit_code=0)
    assert (done.status_code, done.json()) == (200, {"job_id": job_id, "attempt": 1, "outcome": "succeeded"})
    job = await at.until(job_id, status="success")
    (attempt,) = job["attempts"]
    assert (job["exit_code"], attempt["agent_id"], attempt["outcome"]) == (0, "a-1", "succeeded")
    assert job["created_at"] <= attempt["claimed_at"] <= attempt["started_at"] <= attempt["finished_at"]


async def test_a_claimed_job_has_the_control_planes_signature(at: Desk) -> None:
    signature = SpecSignature(service="shop", issued_at=1, expires_at=2, key_id="0" * 16, signature="A" * 86 + "==")
    attempt = at.attempt(deployment_id="d-1", signature=signature)
    await at.raw(attempt)
    held = await at.claim_one()
    job = AttemptInput.model_validate(held.claimed["job"])
    assert (job.signature, job.deployment_id) == (signature, "d-1")
    assert signed_bytes(job, signature) == signed_bytes(attempt, signature)


async def test_a_failing_command_is_retried_by_the_jobs_own_rules(at: Desk) -> None:
    job_id = await at.submit(retry={"max_attempts": 2, "initial_interval_seconds": 0.1})
    for number in (1, 2):
        held = await at.claim_one()
        assert held.claimed["attempt"] == number
        done = await held.say("complete", exit_code=3, error_message=f"try {number}", log_bytes=17)
        assert done.json()["outcome"] == "failed"
    job = await at.until(job_id, status="dead_lettered")
    said = [(each["exit_code"], each["cause"], each["message"], each["log_bytes"]) for each in job["attempts"]]
    assert said == [(3, "exit_code", "try 1", 17), (3, "exit_code", "try 2", 17)]


async def test_an_empty_queue_is_told_as_such(at: Desk) -> None:
    began = time.monotonic()
    assert code_of(await at.ask(wait_seconds=0)) == NO_JOBS
    assert time.monotonic() - began < 20, "a claim that waits takes longer"


async def test_a_claim_waits_for_a_job(at: Desk) -> None:
    waiting = asyncio.create_task(at.claim_one(wait_seconds=10))
    await asyncio.sleep(0)
    job_id = await at.submit()
    assert (await waiting).job_id == job_id


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim waits longer for each further job that the queue has."""
    monkeypatch.setattr("api.claims.service._MORE_WITHIN_SECONDS", 3)


@pytest.mark.usefixtures("unhurried")
async def test_the_most_urgent_come_first(at: Desk) -> None:
    urgency = ["LOW", "NORMAL", "CRITICAL", "HIGH", "CRITICAL", "LOW"]
    submitted = {await at.submit(priority=priority): priority for priority in urgency}
    await at.until_waiting(6)
    claimed = [*await at.claim(max_jobs=4), *await at.claim("a-2", max_jobs=32)]
    assert [submitted[held.job_id] for held in claimed] == ["CRITICAL", "CRITICAL", "HIGH", "NORMAL", "LOW", "LOW"]
    assert len({held.job_id for held in claimed}) == 6


async def test_a_completion_repeated_is_answered_the_same(at: Desk) -> None:
    job_id = await at.submit()
    held = await at.claim_one()
    answers = await asyncio.gather(*(held.say("complete", exit_code=0) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.content for answer in answers}) == 1
    await at.until(job_id, status="success")
    assert (await held.say("complete", exit_code=0)).status_code == 200
    assert code_of(await held.say("complete", exit_code=1)) == STALE
    assert code_of(await held.say("heartbeat")) == STALE
    assert code_of(await held.say("start")) == STALE


async def test_a_lapsed_lease_is_refused_and_the_attempt_is_lost(at: Desk) -> None:
    handle = await at.raw(at.attempt(lease_seconds=1))
    held = await at.claim_one()
    assert held.claimed["lease_seconds"] == 1
    assert await asyncio.wait_for(handle.result(), 60) == [None]
    assert code_of(await held.say("heartbeat")) == STALE
    assert code_of(await held.say("start")) == STALE
    assert code_of(await held.say("complete", exit_code=0)) == STALE


async def test_heartbeats_hold_a_lease(at: Desk) -> None:
    handle = await at.raw(at.attempt(lease_seconds=4))
    held = await at.claim_one()
    ends = time.monotonic() + 6
    while time.monotonic() < ends:
        beat = await held.say("heartbeat")
        assert beat.status_code == 200 or "ask again" in beat.text, beat.text  # a busy Temporal: 503
        await asyncio.sleep(0.3)
    assert (await held.say("complete", exit_code=0)).status_code == 200
    (result,) = await handle.result()
    assert result is not None
    assert (result.outcome, result.agent_id) == (Outcome.SUCCEEDED, "a-1")


async def test_a_token_serves_only_who_claimed_and_only_its_job(at: Desk) -> None:
    await at.raw(at.attempt(), at.attempt())
    one, other = await at.claim_one("a-1"), await at.claim_one("a-2")
    token = one.claimed["lease_token"]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    task_token = raw[33:].partition(b"\0")[2]
    gateways = base64.urlsafe_b64encode(TaskTokens(SECRET).bind("a-1", task_token)).rstrip(b"=").decode()
    others = base64.urlsafe_b64encode(TaskTokens(b"x" * 32).bind("claim:a-1", raw[33:])).rstrip(b"=").decode()
    forged = [
        {"agent_id": "a-2"},
        {"lease_token": other.claimed["lease_token"]},
        {"lease_token": token[:-8] + "AAAAAAAA"},
        {"lease_token": base64.urlsafe_b64encode(task_token).rstrip(b"=").decode()},
        {"lease_token": gateways},
        {"lease_token": others},
        {"lease_token": "A" * 64},
        {"lease_token": "A" * 65},
    ]
    for what in ("start", "heartbeat", "complete"):
        for fields in forged:
            more = {"exit_code": 0} if what == "complete" else {}
            assert code_of(await one.say(what, **fields, **more)) == FORBIDDEN
    swapped = Held(at, "a-1", {**one.claimed, "job_id": other.job_id})
    assert code_of(await swapped.say("complete", exit_code=0)) == FORBIDDEN
    for held in (one, other):
        assert (await held.say("complete", exit_code=0)).status_code == 200


async def test_a_cancellation_is_told_with_the_next_heartbeats(at: Desk) -> None:
    job_id = await at.submit()
    held = await at.claim_one()
    await held.say("start")
    await at.until(job_id, queue_status="RUNNING")
    asked = time.monotonic()
    assert (await at.http.post(f"/api/dashboard/jobs/{job_id}/cancel", json={"reason": "wrong"})).status_code == 200
    while not (await held.say("heartbeat")).json()["cancel_requested"]:
        assert time.monotonic() - asked < 30
        await asyncio.sleep(0.02)
    assert (await held.say("complete", outcome="cancelled")).status_code == 200
    job = await at.until(job_id, status="cancelled")
    assert job["attempts"][0]["outcome"] == "cancelled"


async def test_a_job_goes_elsewhere_when_its_claimer_hangs_up(at: Desk) -> None:
    """A connection that ends while the claim waits: what its poll brings is given to others, not lost for a lease."""
    polls = at.services.claims.polls.under_way
    writers = [await hold_a_claim(at, f"gone-{number}") for number in range(5)]
    await until_polled(at, polls + 5)
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    handle = await at.raw(*(at.attempt() for _ in range(3)))
    began = time.monotonic()
    for _ in range(3):
        assert (await (await at.claim_one("there", wait_seconds=10)).say("complete", exit_code=0)).status_code == 200
    assert {result.agent_id for result in await handle.result() if result} == {"there"}
    assert time.monotonic() - began < 8, "far less than a lease"


async def test_nobody_is_waited_for_who_never_reads_the_answer(at: Desk) -> None:
    """A half-open connection: the claim is answered, nobody is there, and the lease ends it."""
    writer = await hold_a_claim(at, "mute")
    handle = await at.raw(at.attempt(lease_seconds=1))
    assert await asyncio.wait_for(handle.result(), 60) == [None]
    writer.close()
    await writer.wait_closed()


async def hold_a_claim(at: Desk, name: str) -> asyncio.StreamWriter:
    """A claim whose answer nobody reads."""
    body = json.dumps({"pool": at.pool, "agent_id": name, "wait_seconds": 20})
    url = at.http.base_url
    _, writer = await asyncio.open_connection(url.host, url.port)
    key = (await at.as_agent(name))["Authorization"]
    headers = f"Host: x\r\nAuthorization: {key}\r\nContent-Length: {len(body)}"
    writer.write(f"POST {CLAIM} HTTP/1.1\r\n{headers}\r\nContent-Type: application/json\r\n\r\n{body}".encode())
    await writer.drain()
    return writer


async def until_polled(at: Desk, count: int) -> None:
    """Until so many claims wait."""
    ends = time.monotonic() + 30
    while at.services.claims.polls.under_way < count:
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


async def test_only_agents_with_the_labels_get_jobs_that_demand_them(at: Desk) -> None:
    demanding = await at.submit(requires=["gpu", "!spot"])
    assert code_of(await at.ask("plain", wait_seconds=0)) == NO_JOBS
    assert code_of(await at.ask("spot", labels={"gpu": "a100", "spot": "yes"}, wait_seconds=0)) == NO_JOBS
    plain = await at.submit()
    got = {(await at.claim_one("strong", labels={"gpu": "a100"}, wait_seconds=5)).job_id for _ in range(2)}
    assert got == {demanding, plain}


async def test_an_agent_leaves_the_attempt_it_lost_to_others_once(at: Desk) -> None:
    handle = await at.raw(at.attempt(avoid_agent="a-1"))
    await at.until_waiting(1)
    assert code_of(await at.ask("a-1", wait_seconds=0)) == NO_JOBS
    (result,) = await handle.result()
    assert result is not None
    assert (result.outcome, result.agent_id) == (Outcome.DECLINED, "a-1")


@pytest.mark.usefixtures("unhurried")
async def test_no_more_jobs_are_handed_out_than_were_asked_for(at: Desk) -> None:
    handle = await at.raw(*(at.attempt() for _ in range(7)))
    await at.until_waiting(7)
    batches = [await at.claim("a-1", max_jobs=3), await at.claim("a-2", max_jobs=3), await at.claim("a-3", max_jobs=3)]
    assert [len(batch) for batch in batches] == [3, 3, 1]
    await asyncio.gather(*(held.say("complete", exit_code=0) for batch in batches for held in batch))
    results = await handle.result()
    assert {result.outcome for result in results if result} == {Outcome.SUCCEEDED}


async def test_the_claimers_clock_decides_nothing(at: Desk) -> None:
    for skew in (-86_400_000, 86_400_000):
        job_id = await at.submit()
        held = await at.claim_one()
        wrong = int(time.time() * 1000) + skew
        assert (await held.say("complete", exit_code=0, started_at=wrong)).status_code == 200
        job = await at.until(job_id, status="success")
        (attempt,) = job["attempts"]
        assert job["created_at"] <= attempt["claimed_at"] <= attempt["started_at"] <= attempt["finished_at"]
        assert job["duration_seconds"] < 10


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({}, "exit_code"),
        ({"outcome": "succeeded", "exit_code": 1}, "exit_code"),
        ({"outcome": "failed", "exit_code": 0}, "exit_code"),
        ({"exit_code": 256}, "exit_code"),
        ({"exit_code": "0"}, "exit_code"),
        ({"outcome": "fine"}, "outcome"),
        ({"exit_code": 0, "log_bytes": -1}, "log_bytes"),
        ({"exit_code": 0, "lease_token": "short"}, "lease_token"),
        ({"exit_code": 0, "more": 1}, "more"),
    ],
)
async def test_a_completion_that_makes_no_sense_names_the_field(at: Desk, fields: dict[str, Any], bad: str) -> None:
    held = Held(at, "a-1", {"job_id": new_job_id(), "lease_token": issued(at)})
    held.claimed["job_id"] = at.services.claims.lease("a-1", held.claimed["lease_token"]).job_id
    answer = await held.say("complete", **fields)
    assert code_of(answer) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [bad]


def issued(at: Desk) -> str:
    """A lease token of no attempt."""
    return LeaseTokens(SECRET).issue(LeaseToken("a-1", new_job_id(), 1, at.pool, 30, 1, b"task"))


async def test_without_a_signing_key_nothing_is_claimed(at: Desk) -> None:
    services = dataclasses.replace(at.services, claims=Claims(lambda: at.temporal, None))
    async with client(build_app(services), ADMIN_KEY) as http:
        body = {"pool": at.pool, "agent_id": "a-1"}
        answer = await http.post(CLAIM, json=body, headers=await at.as_agent("a-1"))
    assert code_of(answer) == (503, "unavailable")
    assert "HYBRIDCI_SIGNING_KEY" in answer.json()["detail"]


async def register(at: Desk, agent_id: str) -> str:
    """The agent's own token."""
    body = {"agent_id": agent_id, "instance": "instance-1", "pool": at.pool, "labels": {"gpu": "1"}, "via": "http"}
    answer = await at.http.post("/api/agents/register", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


async def test_an_agents_own_token_claims_for_itself_in_its_own_pool_only(at: Desk) -> None:
    token = await register(at, f"own-{at.pool}")
    await at.raw(at.attempt(), at.attempt())
    others = await at.claim_one("a-2")
    async with client(at.app, token) as http:
        names = (f"own-{at.pool}", "a-2")
        own = Desk(http, at.app, at.temporal, at.stores, at.pool, dict.fromkeys(names, token))
        assert code_of(await own.ask("a-2")) == FORBIDDEN
        assert code_of(await own.ask(f"own-{at.pool}", pool="other")) == FORBIDDEN
        assert code_of(await Held(own, "a-2", others.claimed).say("complete", exit_code=0)) == FORBIDDEN
        held = await own.claim_one(f"own-{at.pool}")
        assert (await held.say("complete", exit_code=0)).status_code == 200
    assert (await others.say("complete", exit_code=0)).status_code == 200


async def test_who_is_paused_draining_or_deregistered_gets_nothing(at: Desk) -> None:
    name = f"reg-{at.pool}"
    await register(at, name)
    await at.raw(at.attempt())
    held = await at.claim_one(name)
    for path, word in (("pause", "is paused until it is resumed (disk)"), ("drain", "draining")):
        body = {"note": "disk"} if path == "pause" else {}
        assert (await at.http.post(f"/api/agents/{name}/{path}", json=body)).status_code == 200
        refused = await at.ask(name)
        assert code_of(refused) == (409, "invalid_state")
        assert word in refused.json()["detail"]
        assert (await at.http.post(f"/api/agents/{name}/resume", json={})).status_code == 200
    assert (await at.http.delete(f"/api/agents/{name}")).status_code == 200
    assert "was deregistered" in (await at.ask(name)).json()["detail"]
    assert "registered in pool" in await _in_another_pool(at)
    assert (await held.say("complete", exit_code=0)).status_code == 200, "what it has, it may finish"


async def _in_another_pool(at: Desk) -> str:
    await register(at, f"two-{at.pool}")
    return str((await at.ask(f"two-{at.pool}", pool="other")).json()["detail"])


async def test_who_cannot_run_jobs_is_kept_away_and_shown_so(at: Desk) -> None:
    name = f"ill-{at.pool}"
    await register(at, name)
    await at.raw(at.attempt())
    held = await at.claim_one(name)
    done = await held.say("complete", outcome="agent_error", error_message="The disk is full.")
    assert done.json()["outcome"] == "agent_error"
    refused = await at.ask(name)
    assert code_of(refused) == (409, "invalid_state")
    assert "quarantine for 10 s" in refused.json()["detail"]
    shown = (await at.http.get(f"/api/agents/{name}")).json()
    assert (shown["accepting"], shown["quarantine_failures"]) == (False, 1)
    assert shown["quarantine_reason"] == "The disk is full."


async def test_fifty_claimers_take_a_thousand_jobs_each_exactly_once(at: Desk) -> None:
    """The jobs are bare activities here, as a job's workflow schedules them; with their workflows a thousand take the
    better part of a minute (``tests.benchmarks.claims``)."""
    attempts = [at.attempt() for _ in range(1000)]
    handles = [await at.raw(*attempts[start : start + 100]) for start in range(0, 1000, 100)]
    claimed: list[tuple[str, str]] = []

    async def work(name: str, max_jobs: int) -> None:
        while len(claimed) < len(attempts) and time.monotonic() < began + 200:
            answer = await at.ask(name, max_jobs=max_jobs, wait_seconds=0)
            if answer.status_code == 404:
                continue
            assert answer.status_code == 200, answer.text
            for job in answer.json()["jobs"]:
                claimed.append((job["job_id"], name))
                assert (await Held(at, name, job).say("complete", exit_code=0)).status_code == 200

    began = time.monotonic()
    await asyncio.gather(*(work(f"claimer-{number}", 1 + number % 3) for number in range(50)))
    print(f"1,000 jobs by 50 claimers in {time.monotonic() - began:.1f} s")
    assert sorted(job_id for job_id, _ in claimed) == sorted(attempt.job_id for attempt in attempts)
    results = [result for handle in handles for result in await handle.result()]
    by = dict(claimed)
    ended = [(attempt.job_id, result and result.agent_id) for attempt, result in zip(attempts, results, strict=True)]
    assert ended == [(attempt.job_id, by[attempt.job_id]) for attempt in attempts]
    assert {result.outcome for result in results if result} == {Outcome.SUCCEEDED}
