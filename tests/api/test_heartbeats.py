"""What agents say of themselves: their health, the order and storing of heartbeats, what the answers tell."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from activities.agents.heartbeats import ReceivedHeartbeat
from api.agents.heartbeats import Heartbeats
from tests.api.fleet_bench import FleetBench, fleet_bench
from tests.api.live import until
from tests.unit.fakes import make_job
from workflows.contracts.agents import MAX_SEQUENCE, MOST_AHEAD, Agent, Heartbeat
from workflows.contracts.errors import Unavailable
from workflows.contracts.labels import normalised
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus


@pytest.fixture
async def fleet() -> AsyncIterator[FleetBench]:
    async with fleet_bench() as bench:
        yield bench


async def test_an_agent_at_work_is_well(fleet: FleetBench) -> None:
    """A CI agent at 100 % CPU does what it is there for."""
    await fleet.register()
    assert (await fleet.show())["last_heartbeat"] is None
    await fleet.beat(cpu_percent=100, memory_percent=94, disk_percent=94)
    shown = await fleet.show()
    assert (shown["status"], shown["accepting"], shown["words"]) == ("HEALTHY", True, [])
    assert abs(shown["last_heartbeat"] - fleet.now()) < 2000
    healthy = (await fleet.admin.get("/api/agents/healthy")).json()["items"]
    assert [agent["agent_id"] for agent in healthy] == ["agent-7"]


async def test_completed_jobs_are_counted_once_and_whatever_becomes_of_the_agent(fleet: FleetBench) -> None:
    await fleet.register()
    await fleet.register("agent-8")
    done = make_job("a", queue_status=QueueStatus.COMPLETED, status=JobStatus.SUCCESS, agent_id="agent-7", sequence=2)
    failed = make_job("b", queue_status=QueueStatus.FAILED, status=JobStatus.FAILED, agent_id="agent-7", sequence=2)
    for job in (done, failed, done.model_copy(update={"sequence": 3})):
        await fleet.stores.jobs.write(JobWrite(job=job, previous=QueueStatus.RUNNING))
    fleet.another_process()
    listed = (await fleet.admin.get("/api/agents")).json()["items"]
    assert [(agent["agent_id"], agent["jobs_completed"]) for agent in listed] == [("agent-7", 1), ("agent-8", 0)]
    healthy = (await fleet.admin.get("/api/agents/healthy")).json()["items"]
    assert [agent["jobs_completed"] for agent in healthy] == [1, 0]
    assert (await fleet.register(instance="word-12345"))["agent"]["jobs_completed"] == 1
    assert (await fleet.show())["jobs_completed"] == 1


@pytest.mark.parametrize("off", [-31_500, 31_500])
async def test_an_agent_whose_clock_is_wrong_is_degraded(fleet: FleetBench, off: int) -> None:
    await fleet.register()
    await fleet.beat(at=fleet.now() + off)
    shown = await fleet.show()
    assert (shown["status"], shown["accepting"]) == ("DEGRADED", True)
    assert "its clock is" in shown["words"][0]


async def test_a_quarantined_agent_is_degraded(fleet: FleetBench) -> None:
    await fleet.register()
    await fleet.beat(quarantined_until=fleet.now() + 60_000, quarantine_failures=3)
    shown = await fleet.show()
    assert (shown["status"], shown["accepting"]) == ("DEGRADED", False)
    assert "quarantined for" in shown["words"][0]
    assert (await fleet.admin.get("/api/agents/healthy")).json()["items"] == []


async def test_a_silent_agent_is_late_and_then_lost_without_anybody_looking(fleet: FleetBench) -> None:
    await fleet.register()
    await fleet.beat()
    fleet.later(26)
    late = await fleet.show()
    assert (late["status"], late["accepting"]) == ("DEGRADED", True)
    assert late["words"] == ["its heartbeat is late: not heard of for 26 s"]
    fleet.later(15)
    lost = await fleet.show()
    assert (lost["status"], lost["accepting"]) == ("OFFLINE", False)
    assert 41 <= lost["seconds_since_heard"] < 43
    assert (await fleet.admin.get("/api/agents/healthy")).json()["items"] == []
    assert (await fleet.beat(sequence=2)).json()["status"] == "HEALTHY"
    assert (await fleet.show())["words"] == []


async def test_heartbeats_out_of_order_change_nothing(fleet: FleetBench) -> None:
    await fleet.register()
    for sequence, running in ((5, ["five"]), (4, ["four"]), (5, ["again"])):
        assert (await fleet.beat(sequence=sequence, running=running)).status_code == 200
    assert (await fleet.show())["running"] == ["five"]
    await fleet.fleet.heartbeats.flush()
    fleet.another_process()
    assert (await fleet.show())["running"] == ["five"]


async def test_why_an_agent_is_not_well_is_said_in_words(fleet: FleetBench) -> None:
    await fleet.register()
    await fleet.beat(memory_percent=99.2, disk_percent=97)
    assert (await fleet.show())["words"] == ["memory 99 %", "disk 97 %"]
    until = fleet.now() + 20_000
    await fleet.beat(sequence=2, quarantined_until=until, quarantine_failures=3, quarantine_reason="no space left")
    shown = await fleet.show()
    assert (shown["status"], shown["accepting"], shown["quarantined_until"]) == ("DEGRADED", False, until)
    assert shown["words"] == ["quarantined for 20 s more after 3 failures of its own: no space left"]


async def test_a_heartbeats_number_does_not_leap_ahead(fleet: FleetBench) -> None:
    await fleet.register()
    assert (await fleet.beat(sequence=MAX_SEQUENCE + 1)).status_code == 422
    assert (await fleet.beat(sequence=1 << 40)).status_code == 200, "the first may begin anywhere"
    refused = await fleet.beat(sequence=(1 << 40) + MOST_AHEAD + 1, running=["x"])
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "sequence")
    assert (await fleet.beat(sequence=(1 << 40) + (2 << 32), running=["y"])).status_code == 200, "two starts later"
    assert (await fleet.show())["running"] == ["y"]
    fleet.later(30)
    assert (await fleet.beat(sequence=MAX_SEQUENCE, running=["z"])).status_code == 200, "after a silence it counts anew"
    assert (await fleet.show())["running"] == ["z"]


async def test_heartbeats_are_stored_together_and_again_when_the_store_was_away() -> None:
    stored: list[list[ReceivedHeartbeat]] = []
    failing = [True]

    class Keeper:
        async def heartbeats(self, received: Sequence[ReceivedHeartbeat]) -> None:
            if failing:
                raise Unavailable("the store is away")
            stored.append(list(received))

    async with fleet_bench() as bench:
        await bench.register("agent-1")
        await bench.register("agent-2")
        fleet = bench.fleet
        heartbeats = Heartbeats(Keeper(), fleet.roster, clock=bench.now, pause_seconds=0.01)
        agents: list[Agent] = [await heartbeats.agent(name, None) for name in ("agent-1", "agent-2")]
        for sequence in range(1, 4):
            for agent in agents:
                await heartbeats.take(agent, Heartbeat(sequence=sequence), None)
        with pytest.raises(Unavailable):
            await heartbeats.flush()
        await heartbeats.take(agents[0], Heartbeat(sequence=4), None)
        failing.clear()
        storing = asyncio.create_task(heartbeats.run())
        await until(lambda: bool(stored))
        storing.cancel()
        kept = {each.agent.agent_id: each.heartbeat.sequence for each in stored[0]}
        assert kept == {"agent-1": 4, "agent-2": 3}, "the newest of each, in one request"
        assert len(stored) == 1


async def test_the_last_heartbeats_are_stored_when_the_process_ends(fleet: FleetBench) -> None:
    await fleet.register()
    async with fleet.fleet.running():
        await fleet.beat(running=["j1"])
    agent = await fleet.stores.agents.get("agent-7")
    assert agent is not None
    assert agent.beat is not None
    assert agent.beat.running == ["j1"]


async def test_what_an_agent_says_of_itself_goes_into_its_record(fleet: FleetBench) -> None:
    await fleet.register(labels={"os": "linux"}, version="1.0")
    await fleet.beat(version="1.1", labels={"os": "linux", "gpu": "a100"})
    await fleet.fleet.heartbeats.flush()
    shown = await fleet.show()
    assert (shown["version"], shown["labels"]) == ("1.1", {"os": "linux", "gpu": "a100"})


async def test_the_answer_names_the_demands_that_the_agent_meets(fleet: FleetBench) -> None:
    for requires in (["gpu=*"], ["os=linux", "!spot"], ["os=windows"]):
        await fleet.stores.agents.demand("linux", normalised(requires), fleet.now())
    await fleet.register(labels={"os": "linux"})
    assert (await fleet.beat()).json()["requirements"] == [["!spot", "os=linux"]]
    answer = await fleet.beat(sequence=2, labels={"os": "linux", "gpu": "a100"})
    assert sorted(answer.json()["requirements"]) == [["!spot", "os=linux"], ["gpu=*"]]


async def test_many_agents_are_asked_less_often(fleet: FleetBench) -> None:
    """A hundred in 3 s, thousands in 15 s: orders reach few soon, and many cost no more."""
    heartbeats = fleet.services.fleet.heartbeats
    await fleet.register()
    answers = [(await fleet.beat(sequence=1)).json()["heartbeat_seconds"]]
    one = next(iter(heartbeats._latest.values()))  # pyright: ignore[reportPrivateUsage]
    heartbeats._latest.update({f"build-{n}": one for n in range(2000)})  # pyright: ignore[reportPrivateUsage]
    answers.append((await fleet.beat(sequence=2)).json()["heartbeat_seconds"])
    assert answers == [3, 15]
