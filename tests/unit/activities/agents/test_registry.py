"""The registry of agents: names, pools, heartbeats, drain and pause, and what the audit trail tells of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from activities.agents.heartbeats import ReceivedHeartbeat
from activities.agents.links import DEREGISTERED_MILLIS, SILENT_MILLIS
from activities.agents.registry import AgentRegistry
from activities.stores.memory.agents import MemoryAgentStore
from activities.stores.memory.events import MemoryEventStore
from tests.stores.agents import StoppedClock
from workflows.contracts.agents import (
    LATE_SECONDS,
    OFFLINE_SECONDS,
    Agent,
    AgentQuery,
    AgentRegistration,
    AgentStatus,
    Heartbeat,
    PoolBounds,
)
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.errors import Conflict, InvalidState, NotFound, Unavailable, ValidationFailed
from workflows.contracts.who import WhoAndWhy

NOW = 1_790_000_000_000
ANN = WhoAndWhy(by="ann", via="api", role="operator", address="192.0.2.1", reason="maintenance")
HOST = WhoAndWhy(by="key-1", via="api", role="agent")
DAY = 24 * 3600 * 1000


class RacingAgentStore(MemoryAgentStore):
    """Before each put, as often as ``races`` says, another process changes the record."""

    races = 0

    async def put(self, agent: Agent, events: Sequence[AuditEvent]) -> bool:
        present = await self.get(agent.agent_id)
        if self.races and present is not None:
            self.races -= 1
            other = present.model_copy(update={"revision": present.revision + 1, "version": f"other-{self.races}"})
            assert await super().put(other, [])
        return await super().put(agent, events)


class Bench:
    """A registry on stores in memory, with a clock that a test sets."""

    def __init__(self) -> None:
        self.clock = StoppedClock(NOW)
        self.events = MemoryEventStore()
        self.store = RacingAgentStore(self.events, self.clock)
        self.registry = AgentRegistry(self.store, self.clock)

    async def register(self, agent_id: str = "build-1", *, credential_id: str | None = "c1", **changes: Any) -> Agent:
        registration = AgentRegistration.model_validate(
            {"agent_id": agent_id, "instance": "instance-1", "hostname": "host-1", **changes}
        )
        return await self.registry.register(registration, credential_id=credential_id, signed=HOST)

    async def beat(self, agent: Agent, sequence: int, **said: Any) -> Agent:
        received = ReceivedHeartbeat(agent, Heartbeat(sequence=sequence, **said), self.clock())
        (known,) = await self.registry.heartbeats([received])
        return known

    async def told(self) -> list[str]:
        """The actions of the audit trail, oldest first."""
        page = await self.events.list(EventQuery(limit=100))
        return [event.action for event in sorted(page.items, key=lambda event: event.at)]

    async def last_event(self) -> AuditEvent:
        return (await self.events.list(EventQuery(limit=1))).items[0]

    async def healthy(self, pool: str | None = None) -> list[str]:
        agents = await self.registry.members(pool)
        return [each.agent_id for each in agents if each.status(self.clock()) is AgentStatus.HEALTHY]

    def later(self, seconds: float) -> None:
        self.clock.now += round(seconds * 1000)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_agent_registers_and_its_pool_is_known(bench: Bench) -> None:
    agent = await bench.register(labels={"os": "linux"}, pool="gpu", capacity=3, public_keys=["A" * 43 + "="])
    assert agent == await bench.registry.get("build-1")
    assert (agent.pool, agent.capacity, agent.registered_by, agent.credential_id) == ("gpu", 3, "key-1", "c1")
    assert agent.status(bench.clock()) is AgentStatus.HEALTHY
    (pool,) = await bench.registry.pools()
    assert (pool.name, pool.public_keys, pool.bounds) == ("gpu", ["A" * 43 + "="], None)
    event = await bench.last_event()
    assert (event.action, event.agent_id, event.pool, event.by, event.role) == (
        "agent.registered", "build-1", "gpu", "key-1", "agent",
    )  # fmt: skip


@pytest.mark.parametrize("other", [{"instance": "instance-2"}, {"hostname": "host-2"}])
async def test_a_second_host_is_refused_as_long_as_the_first_is_alive(bench: Bench, other: dict[str, str]) -> None:
    first = await bench.register()
    bench.later(OFFLINE_SECONDS - 2)
    for asked in (bench.register(**other), bench.registry.admit(a_registration(**other))):
        with pytest.raises(Conflict, match=r"host-1 .*hybridci agents deregister build-1") as refused:
            await asked
        assert refused.value.details["retry_after_seconds"] == 3
    assert await bench.registry.admit(a_registration()) == first
    bench.later(3)
    assert await bench.registry.admit(a_registration(**other)) == first
    second = await bench.register(**other, credential_id="c2")
    assert (second.revision, second.credential_id) == (2, "c2")
    with pytest.raises(Conflict):
        await bench.register()


def a_registration(**changes: str) -> AgentRegistration:
    asked = {"agent_id": "build-1", "instance": "instance-1", "hostname": "host-1", **changes}
    return AgentRegistration.model_validate(asked)


async def test_of_two_hosts_that_register_one_name_at_once_one_is_refused(bench: Bench) -> None:
    assert await bench.registry.admit(a_registration()) is None
    answers = await asyncio.gather(
        *(bench.register(instance=f"instance-{number}") for number in range(5)), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(Conflict) == 4
    assert await bench.told() == ["agent.registered"]


async def test_a_deregistered_name_is_free_at_once(bench: Bench) -> None:
    await bench.register()
    bench.later(1)
    gone = await bench.registry.deregister("build-1", signed=ANN)
    assert gone.status(bench.clock()) is AgentStatus.OFFLINE
    bench.later(1)
    assert await bench.registry.deregister("build-1", signed=ANN) == gone
    again = await bench.register(instance="instance-2", hostname="host-2")
    assert (again.deregistered_at, again.revision) == (None, 3)
    assert await bench.told() == ["agent.registered", "agent.deregistered", "agent.registered"]


@pytest.mark.parametrize(
    ("changes", "tells"),
    [
        ({"public_keys": []}, False),
        ({"version": "2", "region": "eu"}, True),
        ({"labels": {"os": "linux"}}, True),
        ({"capacity": 2}, True),
        ({"pool": "gpu"}, True),
    ],
)
async def test_registering_again_is_told_only_when_something_changed(
    bench: Bench, changes: dict[str, Any], tells: bool
) -> None:
    await bench.register()
    bench.later(12 * 3600)
    agent = await bench.register(**changes, credential_id="c2")
    assert (agent.credential_id, agent.registered_at) == ("c2", bench.clock())
    assert await bench.told() == ["agent.registered"] * (2 if tells else 1)
    if tells:
        assert set((await bench.last_event()).details) - {"from_pool"} == set(changes)


async def test_registering_with_another_pool_moves_the_agent(bench: Bench) -> None:
    agent = await bench.register()
    await bench.beat(agent, 5)
    bench.later(1)
    moved = await bench.register(pool="gpu")
    assert moved.beat is None
    assert await bench.registry.members("default") == []
    assert await bench.registry.members("gpu") == [moved]
    assert [pool.name for pool in await bench.registry.pools()] == ["default", "gpu"]
    assert (await bench.last_event()).details == {"pool": "gpu", "from_pool": "default"}
    assert (await bench.beat(moved, 1)).beat is not None, "it counts anew in its new pool"


async def test_a_heartbeat_that_was_overtaken_changes_nothing(bench: Bench) -> None:
    agent = await bench.beat(await bench.register(), 7, cpu_percent=10)
    bench.later(1)
    assert await bench.beat(agent, 6, cpu_percent=99) == agent
    assert await bench.beat(agent, 7, cpu_percent=99) == agent
    assert await bench.registry.get("build-1") == agent
    heartbeats = [ReceivedHeartbeat(agent, Heartbeat(sequence=n), bench.clock()) for n in (9, 11, 8, 10)]
    (known,) = await bench.registry.heartbeats(heartbeats)
    assert known.beat is not None
    assert known.beat.sequence == 11
    assert await bench.registry.get("build-1") == known
    assert await bench.registry.heartbeats([]) == []


async def test_an_agent_that_counts_from_zero_again_is_heard(bench: Bench) -> None:
    agent = await bench.beat(await bench.register(), 1000, draining=True)
    bench.later(LATE_SECONDS)
    assert (await bench.beat(agent, 0)).beat is not None
    known = await bench.registry.get("build-1")
    assert known.beat is not None
    assert (known.beat.sequence, known.status(bench.clock())) == (0, AgentStatus.HEALTHY)


async def test_an_agents_clock_decides_nothing_but_whether_it_is_well(bench: Bench) -> None:
    agent = await bench.beat(await bench.register(), 1, at=5)
    assert agent.beat is not None
    assert (agent.beat.skew_ms, agent.beat.received_at) == (5 - NOW, NOW)
    assert agent.status(bench.clock()) is AgentStatus.DEGRADED
    assert agent.accepts(bench.clock())
    ahead = await bench.beat(agent, 2, at=NOW + DAY)
    bench.later(OFFLINE_SECONDS + 1)
    assert ahead.status(bench.clock()) is AgentStatus.OFFLINE


async def test_what_a_heartbeat_says_of_its_agent_is_taken_over(bench: Bench) -> None:
    agent = await bench.register(labels={"os": "linux"}, version="1")
    same = await bench.beat(agent, 1, labels={"os": "linux"}, version="1", region="")
    assert (same.revision, await bench.told()) == (1, ["agent.registered"])
    bench.later(1)
    newer = await bench.beat(same, 2, version="2")
    assert (newer.version, newer.revision, await bench.told()) == ("2", 2, ["agent.registered", "agent.updated"])
    assert (await bench.last_event()).details == {"version": "2", "before": {"version": "1"}}
    bench.store.races = 1
    bench.later(1)
    labelled = await bench.beat(newer, 3, labels={"gpu": "a100"}, region="eu")
    assert (labelled.labels, labelled.region, labelled.version) == ({"gpu": "a100"}, "eu", "other-0")
    assert labelled == await bench.registry.get("build-1")
    event = await bench.last_event()
    assert (event.action, event.by, event.details["before"]) == ("agent.relabelled", "build-1", {"os": "linux"})


async def test_a_heartbeat_of_an_agent_that_is_gone_brings_nothing_back(bench: Bench) -> None:
    agent, other = await bench.register(), await bench.register("build-2")
    await bench.store.forget("build-1")
    received = [ReceivedHeartbeat(each, Heartbeat(sequence=1, region="eu"), NOW) for each in (agent, other)]
    assert [each.agent_id for each in await bench.registry.heartbeats(received)] == ["build-2"]
    with pytest.raises(NotFound, match="api/agents/register"):
        await bench.registry.get("build-1")
    gone = await bench.registry.deregister("build-2", signed=ANN)
    known = await bench.beat(other, 2, labels={"os": "linux"})
    assert (known.deregistered_at, known.labels, known.revision) == (gone.deregistered_at, {}, gone.revision)
    assert known.status(bench.clock()) is AgentStatus.OFFLINE


async def test_drain_pause_and_resume_are_signed_and_told_once(bench: Bench) -> None:
    await bench.register()
    for _ in range(2):
        bench.later(1)
        drained = await bench.registry.drain("build-1", signed=ANN)
        assert (drained.draining, drained.status(bench.clock())) == (True, AgentStatus.DRAINING)
    paused = await bench.registry.pause("build-1", note="new disk", seconds=60, signed=ANN)
    assert (paused.note, paused.paused(bench.clock())) == ("new disk", True)
    bench.later(60)
    assert not (await bench.registry.get("build-1")).paused(bench.clock())
    held = await bench.registry.pause("build-1", note="", seconds=None, signed=ANN)
    bench.later(1_000_000)
    assert (held.note, held.paused_until, held.paused(bench.clock())) == (None, 0, True)
    for _ in range(2):
        resumed = await bench.registry.resume("build-1", signed=ANN)
        assert (resumed.draining, resumed.paused(bench.clock())) == (False, False)
    assert await bench.told() == ["agent.registered", "agent.drained", "agent.paused", "agent.paused", "agent.resumed"]
    event = await bench.last_event()
    assert (event.by, event.role, event.via, event.address, event.reason) == (
        "ann", "operator", "api", "192.0.2.1", "maintenance",
    )  # fmt: skip


async def test_a_pause_holds_on_over_a_restart_and_a_drain_does_not(bench: Bench) -> None:
    agent = await bench.register()
    await bench.registry.pause("build-1", note="new disk", seconds=None, signed=ANN)
    agent = await bench.registry.drain("build-1", signed=ANN)
    bench.later(15)
    await bench.beat(agent, 1, draining=True)
    again = await bench.register()
    assert (again.draining, again.paused(bench.clock()), again.note) == (True, True, "new disk"), "it is the same run"
    await bench.registry.deregister("build-1", signed=HOST)
    bench.later(15)
    await bench.register()
    again = await bench.registry.get("build-1")
    assert (again.draining, again.paused(bench.clock()), again.note) == (False, True, "new disk")
    assert again.status(bench.clock()) is AgentStatus.HEALTHY, "what it said in its earlier run counts no more"
    assert (await bench.beat(again, 0)).beat is not None


async def test_a_status_is_set_by_what_it_means(bench: Bench) -> None:
    await bench.register()
    for status in (AgentStatus.DRAINING, AgentStatus.HEALTHY, AgentStatus.OFFLINE):
        bench.later(1)
        agent = await bench.registry.set_status("build-1", status, signed=ANN)
        assert agent.status(bench.clock()) is status
    assert await bench.told() == ["agent.registered", "agent.drained", "agent.resumed", "agent.deregistered"]
    with pytest.raises(ValidationFailed, match="must be one of HEALTHY, DRAINING, OFFLINE"):
        await bench.registry.set_status("build-1", AgentStatus.DEGRADED, signed=ANN)


async def test_a_deregistered_or_unknown_agent_is_not_changed(bench: Bench) -> None:
    await bench.register()
    await bench.registry.deregister("build-1", signed=ANN)
    registry = bench.registry
    for refused, error in (("build-1", InvalidState), ("nobody", NotFound)):
        for call in (
            registry.drain(refused, signed=ANN),
            registry.resume(refused, signed=ANN),
            registry.pause(refused, note="", seconds=1, signed=ANN),
        ):
            with pytest.raises(error) as caught:
                await call
            assert caught.value.details["agent_id"] == refused
    with pytest.raises(NotFound):
        await registry.deregister("nobody", signed=ANN)


async def test_a_change_is_tried_again_when_another_one_was_faster(bench: Bench) -> None:
    await bench.register()
    bench.later(1)
    bench.store.races = 3
    drained = await bench.registry.drain("build-1", signed=ANN)
    assert (drained.draining, drained.version, drained.revision) == (True, "other-0", 5)
    assert drained == await bench.registry.get("build-1")
    bench.store.races = 1000
    for change in (bench.registry.resume("build-1", signed=ANN), bench.register(capacity=2)):
        with pytest.raises(Unavailable, match="Try again"):
            await change
    assert await bench.told() == ["agent.registered", "agent.drained"]


async def test_lists_show_who_is_well(bench: Bench) -> None:
    for name, pool in (("c", "gpu"), ("a", "default"), ("b", "default"), ("d", "default")):
        await bench.register(name, pool=pool)
    bench.later(LATE_SECONDS)
    for name in "abc":
        await bench.beat(await bench.registry.get(name), 1, disk_percent=99 if name == "b" else 1)
    await bench.registry.drain("d", signed=ANN)
    bench.later(1)
    assert await bench.healthy() == ["a", "c"]
    assert await bench.healthy("gpu") == ["c"]
    assert [agent.agent_id for agent in await bench.registry.members()] == ["a", "b", "c", "d"]
    assert [agent.agent_id for agent in await bench.registry.members("default")] == ["a", "b", "d"]
    assert await bench.registry.members("nobody") == []
    page = await bench.registry.list(AgentQuery(limit=1, pool="default"))
    page = await bench.registry.list(AgentQuery(limit=9, pool="default", cursor=page.next_cursor))
    assert [agent.agent_id for agent in page.items] == ["b", "d"]
    bench.later(OFFLINE_SECONDS)
    assert await bench.healthy() == []


async def test_agents_that_are_gone_for_good_are_forgotten(bench: Bench) -> None:
    for name in ("left", "silent", "paused", "well"):
        await bench.register(name)
    await bench.registry.deregister("left", signed=HOST)
    await bench.registry.pause("paused", note="moving house", seconds=None, signed=ANN)
    bench.clock.now += DEREGISTERED_MILLIS
    assert len(await bench.registry.members()) == 4
    bench.clock.now += 1
    assert [agent.agent_id for agent in await bench.registry.members("default")] == ["paused", "silent", "well"]
    bench.clock.now = NOW + SILENT_MILLIS + 1
    await bench.beat(await bench.registry.get("well"), 1)
    assert [agent.agent_id for agent in await bench.registry.members()] == ["paused", "well"]
    assert await bench.store.get("silent") is None


async def test_a_pool_is_scaled_before_it_has_an_agent(bench: Bench) -> None:
    with pytest.raises(NotFound, match="gpu"):
        await bench.registry.pool("gpu")
    bounds = PoolBounds(min_agents=1, max_agents=4)
    scaled = await bench.registry.scale("gpu", bounds, signed=ANN)
    bench.later(1)
    assert await bench.registry.scale("gpu", bounds, signed=HOST) == scaled
    assert (scaled.bounds, scaled.updated_by, scaled.revision) == (bounds, "ann", 1)
    await bench.register(pool="gpu", public_keys=["A" * 43 + "="])
    bench.later(1)
    wider = await bench.registry.scale("gpu", PoolBounds(max_agents=9), signed=ANN)
    assert (wider.public_keys, wider.revision, wider.created_at) == (["A" * 43 + "="], 3, NOW)
    assert wider == await bench.registry.pool("gpu")
    assert await bench.told() == ["pool.scaled", "agent.registered", "pool.scaled"]
    with pytest.raises(ValidationFailed) as refused:
        await bench.registry.scale("gpu", PoolBounds(min_agents=3, max_agents=2), signed=ANN)
    assert [error.field for error in refused.value.errors] == ["max_agents"]


async def test_a_pool_knows_the_keys_of_those_that_registered_last(bench: Bench) -> None:
    one, two, three = (letter * 43 + "=" for letter in "ABC")
    for name, keys in (("a", [one]), ("b", [two, one]), ("c", []), ("d", [three, two])):
        await bench.register(name, public_keys=keys)
    assert (await bench.registry.pool("default")).public_keys == [three, two, one]
    revision = (await bench.registry.pool("default")).revision
    await bench.register("d", public_keys=[three])
    assert (await bench.registry.pool("default")).revision == revision, "nothing new, so nothing is written"
