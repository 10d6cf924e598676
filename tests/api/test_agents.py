"""Agents come in, speak, are told, and are lost: over HTTP, on memory stores and a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.agents.roster import Roster
from tests.api.conftest import ADMIN_KEY, AGENT_KEY, client
from tests.api.fleet_bench import FleetBench, fleet_bench
from workflows.contracts.access import Role
from workflows.contracts.agents import Agent
from workflows.contracts.errors import Unavailable
from workflows.contracts.records import JobQuery


@pytest.fixture
async def fleet() -> AsyncIterator[FleetBench]:
    async with fleet_bench() as bench:
        yield bench


async def test_an_agent_registers_and_works_with_its_own_token(fleet: FleetBench) -> None:
    registered = await fleet.register(capacity=3, labels={"os": "linux"}, region="eu", version="1.2")
    token = registered["token"]
    assert registered["heartbeat_seconds"] == 15
    assert 23 * 3600 < (registered["token_expires_at"] - fleet.now()) / 1000 <= 24 * 3600
    assert registered["gateway"] is None
    assert registered["agent"]["status"] == "HEALTHY"
    answer = await fleet.beat(key=token, at=fleet.now() + 12_000, cpu_percent=7.5, running=["j1", "j2"], load=0.5)
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "HEALTHY", "accepting": True, "drain": False, "note": None, "requirements": [],
         "heartbeat_seconds": 3},
    )  # fmt: skip
    shown = await fleet.show()
    assert (shown["pool"], shown["capacity"], shown["busy"], shown["running"]) == ("linux", 3, 2, ["j1", "j2"])
    assert (shown["cpu_percent"], shown["load"], shown["region"], shown["version"]) == (7.5, 0.5, "eu", "1.2")
    assert 11_000 < shown["skew_ms"] <= 12_000
    assert shown["words"] == ["its clock is 12 s ahead"]
    assert not {"credential_id", "token", "revision"} & shown.keys()


async def test_a_token_speaks_for_its_agent_only(fleet: FleetBench) -> None:
    token = (await fleet.register())["token"]
    await fleet.register("agent-8")
    refused = [
        await fleet.beat("agent-8", key=token),
        await fleet.try_register("agent-8", key=token),
        await fleet.try_register("agent-7", key=token, pool="gpu"),
    ]
    async with client(fleet.app, token) as caller:
        refused.append(await caller.post("/api/agents/agent-8/deregister"))
        refused.append(await caller.post("/api/agents/agent-7/drain"))
        refused.append(await caller.get("/api/agents/agent-7"))
        refused.append(await caller.delete("/api/agents/agent-7"))
        refused.append(await caller.post("/api/agents/pools/linux/scale", json={"min_agents": 0, "max_agents": 9}))
    assert [answer.status_code for answer in refused] == [403] * 8
    assert "agent-7 and speaks for no other" in refused[0].json()["detail"]
    assert (await fleet.beat(key=token)).status_code == 200


async def test_two_hosts_never_answer_to_one_name(fleet: FleetBench) -> None:
    first = (await fleet.register())["token"]
    for other in ({"instance": "other-12345", "hostname": "host-2"}, {"hostname": "host-2"}):
        refused = await fleet.try_register(**other)
        assert refused.status_code == 409
        assert "host-1" in refused.json()["detail"]
    assert (await fleet.beat(key=first)).status_code == 200
    fleet.later(41)
    second = (await fleet.register(instance="other-12345", hostname="host-2"))["token"]
    assert (await fleet.beat(key=first)).status_code == 401, "the other one comes back too late"
    assert (await fleet.beat(key=second)).status_code == 200
    assert (await fleet.show())["hostname"] == "host-2"


async def test_an_agent_that_registers_again_keeps_its_earlier_token_for_a_minute(fleet: FleetBench) -> None:
    first = (await fleet.register())["token"]
    await fleet.beat(key=first, sequence=900, running=["old"])
    second = (await fleet.register(key=first))["token"]
    late = await fleet.beat(key=first, sequence=901, running=["old"])
    assert late.status_code == 200
    assert (await fleet.show())["running"] == [], "what it said before it began anew counts no more"
    await fleet.beat(key=second, sequence=0, running=["new"])
    assert (await fleet.show())["running"] == ["new"], "and it may count from 0 again"


async def test_with_another_pool_the_earlier_token_ends_at_once(fleet: FleetBench) -> None:
    first = (await fleet.register())["token"]
    second = (await fleet.register(pool="gpu"))["token"]
    assert (await fleet.beat(key=first)).status_code == 401
    assert (await fleet.beat(key=second)).status_code == 200
    listed = await fleet.admin.get("/api/agents", params={"pool": "linux"})
    assert listed.json()["items"] == []
    assert [agent["pool"] for agent in (await fleet.admin.get("/api/agents")).json()["items"]] == ["gpu"]


async def test_a_pools_key_takes_no_name_from_another_pool(fleet: FleetBench) -> None:
    """Who sees agents sees their instance and host too; and a silent agent may only be cut off for a while."""
    token = (await fleet.register(pool="gpu"))["token"]
    key = await fleet.key(Role.AGENT, ["linux"])
    for _ in range(2):
        refused = await fleet.try_register(key=key, pool="linux")
        assert refused.status_code == 403
        assert "agents deregister agent-7" in refused.json()["detail"]
        fleet.later(41)
    assert (await fleet.beat(key=token)).status_code == 200
    assert (await fleet.admin.delete("/api/agents/agent-7")).status_code == 200
    assert (await fleet.try_register(key=key, pool="linux")).status_code == 201
    both = await fleet.key(Role.AGENT, ["linux", "gpu"])
    assert (await fleet.try_register(key=both, pool="gpu")).status_code == 201


async def test_what_an_operator_says_is_in_the_next_answer(fleet: FleetBench) -> None:
    token = (await fleet.register())["token"]
    paused = await fleet.tell("pause", note="disk is being replaced", seconds=600)
    assert (paused["paused"], paused["accepting"]) == (True, False)
    assert paused["words"] == ["paused for 600 s more: disk is being replaced"]
    answer = (await fleet.beat(key=token)).json()
    assert (answer["accepting"], answer["drain"], answer["note"]) == (False, False, "disk is being replaced")
    fleet.later(601)
    assert (await fleet.beat(key=token, sequence=2)).json()["accepting"] is True
    await fleet.tell("pause")
    assert (await fleet.show())["words"] == ["paused until resumed"]
    assert (await fleet.tell("resume"))["accepting"] is True
    drained = await fleet.tell("drain", reason="kernel update")
    assert (drained["status"], drained["words"]) == ("DRAINING", ["drains: 0 jobs to finish"])
    answer = (await fleet.beat(key=token, sequence=3)).json()
    assert (answer["accepting"], answer["drain"], answer["status"]) == (False, True, "DRAINING")


async def test_what_another_process_was_told_arrives_too(fleet: FleetBench) -> None:
    token = (await fleet.register())["token"]
    await fleet.beat(key=token)
    here = fleet.services
    fleet.another_process()
    await fleet.tell("drain")
    fleet.app.state.services = here

    fleet.later(20)
    assert (await fleet.beat(key=token, sequence=2)).json()["drain"] is True


async def test_a_change_here_is_known_though_a_reading_began_before_it(fleet: FleetBench) -> None:
    await fleet.register("agent-1")
    await fleet.register("agent-2")
    registry = fleet.fleet.registry
    before, gate = await registry.members("linux"), asyncio.Event()

    class Slow:
        get, demands = registry.get, registry.demands

        async def members(self, pool: str | None = None) -> list[Agent]:
            await gate.wait()
            return before if pool == "linux" else []

    roster = Roster(Slow())
    reading = asyncio.create_task(roster.agents("linux"))
    await asyncio.sleep(0)
    await fleet.tell("drain", "agent-1")
    await fleet.register("agent-2", pool="gpu")
    for name in ("agent-1", "agent-2"):
        roster.changed(await registry.get(name))
    gate.set()
    assert [(agent.agent_id, agent.draining) for agent in await reading] == [("agent-1", True)]
    assert [agent.agent_id for agent in await roster.agents("gpu")] == ["agent-2"]
    await fleet.tell("resume", "agent-1")
    roster.changed(await registry.get("agent-1"))
    assert [agent.draining for agent in await roster.agents("linux")] == [False]


async def test_status_can_be_set_but_not_found_out(fleet: FleetBench) -> None:
    token = (await fleet.register())["token"]

    async def put(status: str) -> httpx.Response:
        return await fleet.admin.patch("/api/agents/agent-7/status", json={"status": status})

    assert (await put("DRAINING")).json()["draining"] is True
    assert (await put("HEALTHY")).json()["accepting"] is True
    refused = await put("DEGRADED")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "status")
    assert (await put("OFFLINE")).json()["status"] == "OFFLINE"
    assert (await fleet.beat(key=token)).status_code == 401


async def test_an_agent_that_ends_says_so_and_its_name_is_free(fleet: FleetBench) -> None:
    token = (await fleet.register())["token"]
    async with client(fleet.app, token) as caller:
        answer = await caller.post("/api/agents/agent-7/deregister")
    assert (answer.status_code, answer.json()["status"], answer.json()["words"]) == (200, "OFFLINE", ["deregistered"])
    assert (await fleet.beat(key=token)).status_code == 401
    refused = await fleet.admin.post("/api/agents/agent-7/drain")
    assert refused.status_code == 409
    assert (await fleet.register(instance="other-12345", hostname="host-2"))["agent"]["accepting"] is True


async def test_an_operator_takes_a_lost_agent_away(fleet: FleetBench) -> None:
    token = (await fleet.register())["token"]
    answer = await fleet.admin.request("DELETE", "/api/agents/agent-7", json={"reason": "sold"})
    assert answer.json()["status"] == "OFFLINE"
    assert (await fleet.beat(key=token)).status_code == 401
    events = (await fleet.admin.get("/api/events")).json()["items"]
    told = next(event for event in events if event["action"] == "agent.deregistered")
    assert (told["by"], told["role"], told["reason"], told["agent_id"]) == ("admin", "admin", "sold", "agent-7")


async def test_an_unknown_agent_has_to_register(fleet: FleetBench) -> None:
    answers = [await fleet.beat("nobody"), await fleet.admin.get("/api/agents/nobody")]
    answers.append(await fleet.admin.post("/api/agents/nobody/drain"))
    assert [answer.status_code for answer in answers] == [404] * 3
    assert "POST /api/agents/register" in answers[0].json()["detail"]


async def test_a_pools_key_registers_and_says_nothing_else(fleet: FleetBench) -> None:
    """Whoever has it could silence, end or impersonate every agent of the pool."""
    token = (await fleet.register())["token"]
    keys = [AGENT_KEY, ADMIN_KEY, await fleet.key(Role.AGENT, ["linux"])]
    for key in keys:
        async with client(fleet.app, key) as caller:
            job = "/api/queue/jobs/00000000-0000-4000-8000-000000000000"
            told = {"agent_id": "agent-7", "lease_token": "x"}
            answers = [
                await caller.post("/api/agents/agent-7/heartbeat", json={"sequence": 2**53}),
                await caller.post("/api/agents/agent-7/deregister"),
                await caller.post("/api/queue/claim", json={"agent_id": "agent-7", "pool": "linux"}),
                await caller.patch(f"{job}/start", json=told),
                await caller.patch(f"{job}/heartbeat", json=told),
                await caller.patch(f"{job}/complete", json={**told, "exit_code": 0}),
                await caller.put(f"{job}/attempts/1/start", json={"attempt": 1, "agent_id": "agent-7"}),
                await caller.put(f"{job}/attempts/1/log/0", content=b"x"),
                await caller.put(f"{job}/attempts/1/artifacts/a", content=b"x"),
            ]
        assert [answer.status_code for answer in answers] == [403] * 9
        assert all("may register agents, and speaks for none" in answer.json()["detail"] for answer in answers)
    assert (await fleet.beat(key=token, sequence=1, running=["mine"])).status_code == 200
    assert (await fleet.show())["running"] == ["mine"]
    assert (await fleet.try_register(key=keys[-1])).status_code == 201


async def test_bad_requests_name_their_fields(fleet: FleetBench) -> None:
    await fleet.register()
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("/api/agents/register", {"agent_id": "a b", "instance": "word-12345"}, "agent_id"),
        ("/api/agents/register", {"agent_id": "pools", "instance": "word-12345"}, "agent_id"),
        ("/api/agents/register", {"agent_id": "admin", "instance": "word-12345"}, "agent_id"),
        ("/api/agents", {"agent_id": "a", "instance": "word-12345", "labels": {"os": "li nux"}}, "labels.os"),
        ("/api/agents", {"agent_id": "a", "instance": "word-12345", "capacity": 0}, "capacity"),
        ("/api/agents/agent-7/heartbeat", {"sequence": -1}, "sequence"),
        ("/api/agents/agent-7/heartbeat", {"sequence": 1, "cpu_percent": 101}, "cpu_percent"),
        ("/api/agents/agent-7/heartbeat", {"sequence": 1, "wrong": 1}, "wrong"),
        ("/api/agents/agent-7/pause", {"seconds": 0}, "seconds"),
        ("/api/agents/pools/linux/scale", {"min_agents": 3, "max_agents": 2}, "body"),
        ("/api/agents/pools/linux/scale", {"min_agents": 3}, "max_agents"),
    ]
    for path, body, field in cases:
        key = await fleet.token("agent-7") if path.endswith("/heartbeat") else ADMIN_KEY
        answer = await fleet.admin.post(path, json=body, headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), (path, answer.text)
    async with client(fleet.app, await fleet.token("agent-7")) as agent:
        assert (await agent.post("/api/agents/agent-7/heartbeat", content=b"{")).status_code == 400
    assert (await fleet.admin.post("/api/agents/pools/No!/scale", json={})).status_code == 422


async def test_lists_show_who_there_is_page_by_page(fleet: FleetBench) -> None:
    for number in range(5):
        await fleet.register(f"agent-{number}", pool="gpu" if number % 2 else "linux")
    await fleet.tell("drain", "agent-3")
    first = (await fleet.admin.get("/api/agents", params={"limit": 3})).json()
    assert [agent["agent_id"] for agent in first["items"]] == ["agent-0", "agent-1", "agent-2"]
    rest = (await fleet.admin.get("/api/agents", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [agent["agent_id"] for agent in rest["items"]] == ["agent-3", "agent-4"]
    draining = (await fleet.admin.get("/api/agents", params={"pool": "gpu", "status": "DRAINING"})).json()
    assert [agent["agent_id"] for agent in draining["items"]] == ["agent-3"]
    healthy = (await fleet.admin.get("/api/agents/healthy", params={"limit": 2})).json()
    assert [agent["agent_id"] for agent in healthy["items"]] == ["agent-0", "agent-1"]
    more = (await fleet.admin.get("/api/agents/healthy", params={"cursor": healthy["next_cursor"]})).json()
    assert [agent["agent_id"] for agent in more["items"]] == ["agent-2", "agent-4"]
    assert (await fleet.admin.get("/api/agents", params={"cursor": "forged"})).status_code == 422


async def test_who_has_one_pool_sees_and_tells_only_that(fleet: FleetBench) -> None:
    await fleet.register("agent-1", pool="linux")
    await fleet.register("agent-2", pool="gpu")
    async with client(fleet.app, await fleet.key(Role.OPERATOR, ["linux"])) as caller:
        listed = (await caller.get("/api/agents")).json()["items"]
        assert [agent["agent_id"] for agent in listed] == ["agent-1"]
        assert [pool["name"] for pool in (await caller.get("/api/agents/pools")).json()["items"]] == ["linux"]
        assert (await caller.get("/api/agents/agent-2")).status_code == 403
        assert (await caller.post("/api/agents/agent-2/drain")).status_code == 403
        assert (await caller.get("/api/agents/pools/gpu")).status_code == 403
        assert (await caller.post("/api/agents/agent-1/drain")).status_code == 200
    pool_key = await fleet.key(Role.AGENT, ["linux"])
    assert (await fleet.try_register("agent-3", key=pool_key, pool="gpu")).status_code == 403
    assert (await fleet.try_register("agent-3", key=pool_key, pool="linux")).status_code == 201
    assert (await fleet.beat("agent-2", key=pool_key)).status_code == 403


async def test_a_queued_job_says_what_it_waits_for(fleet: FleetBench) -> None:
    assert (await fleet.submit())["waits_for"] == "no agent of pool linux is connected"
    for name in ("agent-1", "agent-2", "agent-3"):
        await fleet.register(name, labels={"os": "linux"})
    job = await fleet.submit(requires=["gpu=*"])
    assert job["status"] == "queued", "it is taken, and says why it waits"
    assert job["waits_for"] == "waits for an agent with gpu=* in pool linux: 3 agents there, none has it"
    assert (await fleet.submit())["waits_for"] is None
    await fleet.register("agent-4", labels={"gpu": "a100"})
    url = f"/api/dashboard/jobs/{job['job_id']}"
    assert (await fleet.admin.get(url)).json()["waits_for"] is None
    await fleet.tell("pause", "agent-4")
    assert (await fleet.admin.get(url)).json()["waits_for"] == "all agents of pool linux with gpu=* are paused"
    both = await fleet.submit(requires=["gpu=*", "os=linux"])
    assert both["waits_for"] == (
        "waits for an agent with gpu=*, os=linux in pool linux: 4 agents there, none has all of these"
    )
    for name in ("agent-1", "agent-2", "agent-3"):
        await fleet.tell("drain", name)
    plain = await fleet.submit()
    assert plain["waits_for"] == "all agents of pool linux are draining or paused"
    cancelled = await fleet.admin.post(f"/api/dashboard/jobs/{plain['job_id']}/cancel")
    assert (cancelled.json()["status"], cancelled.json()["waits_for"]) == ("cancelled", None)
    batch = await fleet.admin.post("/api/queue/jobs/batch", json={"items": [{**_spec(), "pool": "none"}]})
    assert batch.json()["items"][0]["job"]["waits_for"] == "no agent of pool none is connected"


async def test_a_job_is_shown_also_when_nobody_knows_what_it_waits_for(
    fleet: FleetBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("the store is away")

    monkeypatch.setattr(fleet.fleet.registry, "members", away)
    assert (await fleet.submit())["waits_for"] is None
    assert len((await fleet.stores.jobs.list(JobQuery())).items) == 1


def _spec() -> dict[str, object]:
    return {
        "job_type": "test", "git_repo": "https://example.com/shop.git", "git_commit_sha": "a" * 40,
        "git_author": "ann@example.com",
    }  # fmt: skip
