"""Pools in numbers: the formula, the view, its bounds, Prometheus; and what Temporal really says of a queue."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import Priority as TemporalPriority
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from api.agents.capacity import Load, desired_agents, desired_slots
from api.http.cached import Cached
from api.temporal.task_queues import EMPTY, Backlog, TaskQueues
from tests.api.fleet_bench import FleetBench, fleet_bench
from tests.api.live import until
from workflows.contracts.agents import PoolBounds
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import pool_queue
from workflows.contracts.jobs import JobSpec, new_job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus


@pytest.fixture
async def fleet() -> AsyncIterator[FleetBench]:
    async with fleet_bench() as bench:
        yield bench


@pytest.mark.parametrize(
    ("load", "slots"),
    [
        (Load(waiting=0, busy=3, average_seconds=9), 3),
        (Load(waiting=10, busy=0, average_seconds=60), 10),  # each takes longer than the target: one slot each
        (Load(waiting=100, busy=2, average_seconds=3), 12),  # 100 of 3 s in 30 s
        (Load(waiting=1, busy=0, average_seconds=0.1), 1),
        (Load(waiting=4, busy=1), 5),  # nothing was ever measured
        (Load(waiting=100, busy=0, average_seconds=3, oldest_wait_seconds=10), 15),  # 20 s are left
        (Load(waiting=100, busy=0, average_seconds=3, oldest_wait_seconds=500), 20),  # late: twice as fast, no more
    ],
)
def test_slots_for_what_runs_and_for_the_queue_within_the_wait_target(load: Load, slots: int) -> None:
    assert desired_slots(load, 30) == slots


def test_the_bounds_hold() -> None:
    bounds = PoolBounds(min_agents=1, max_agents=3)
    assert [desired_agents(slots, 4, bounds) for slots in (0, 4, 5, 100)] == [1, 1, 2, 3]


async def test_a_pool_in_numbers(fleet: FleetBench) -> None:
    await fleet.register("agent-1", capacity=4, labels={"os": "linux"})
    await fleet.register("agent-2", capacity=4)
    await fleet.register("agent-3", capacity=4)
    await fleet.beat("agent-1", running=["a", "b", "c"])
    await fleet.beat("agent-2", running=["d"])
    await fleet.tell("drain", "agent-2")
    await fleet.stores.agents.demand("linux", ["os=linux"], fleet.now())
    fleet.queues.backlogs = {
        pool_queue("linux"): Backlog({1: 2, 3: 5}, 12.34),
        pool_queue("linux", ["os=linux"]): Backlog({3: 1}, 40),
    }
    fleet.another_process()
    await fleet.beat("agent-1", sequence=2, running=["a", "b", "c"])
    await fleet.beat("agent-2", sequence=2, running=["d"])
    view = await fleet.pool()
    assert view["depth"] == {"CRITICAL": 2, "HIGH": 0, "NORMAL": 6, "LOW": 0}
    assert (view["waiting"], view["oldest_wait_seconds"]) == (8, 40)
    assert view["agents"] == {"HEALTHY": 2, "DRAINING": 1}
    assert (view["slots"], view["busy"], view["free"]) == (8, 4, 5)
    assert [(each["requires"], each["waiting"], each["agents"]) for each in view["demands"]] == [(["os=linux"], 1, 1)]
    assert (view["desired_slots"], view["desired_agents"]) == (12, 3), "4 run, 8 wait, no average is known"
    assert (view["bounded"], view["bounds"]["max_agents"]) == (False, 10)


async def test_jobs_that_no_agent_there_can_take_ask_for_no_more_of_them(fleet: FleetBench) -> None:
    await fleet.register("agent-1", capacity=1)
    await fleet.stores.agents.demand("linux", ["gpu=*"], fleet.now())
    fleet.queues.backlogs = {pool_queue("linux", ["gpu=*"]): Backlog({3: 6}, 100)}
    view = await fleet.pool()
    assert (view["waiting"], view["desired_agents"]) == (6, 0)
    assert view["demands"][0] | {"last_used_at": 0, "last_used_time": ""} == {
        "requires": ["gpu=*"], "last_used_at": 0, "last_used_time": "", "waiting": 6, "agents": 0,
    }  # fmt: skip
    fleet.later(41)
    fleet.another_process()
    assert (await fleet.pool())["desired_agents"] == 6, "without any agent nobody knows what a new one would have"


async def test_the_average_is_that_of_the_pool(fleet: FleetBench) -> None:
    for number in range(4):
        for pool, seconds in (("linux", 2.0), ("other", 500.0)):
            await _ended(fleet, pool, seconds, number)
    fleet.queues.backlogs = {pool_queue("linux"): Backlog({3: 60})}
    assert (await fleet.pool())["desired_slots"] == 4  # 60 of 2 s in 30 s


async def test_bounds_can_be_set_before_there_is_an_agent(fleet: FleetBench) -> None:
    missing = await fleet.admin.get("/api/agents/pools/gpu")
    assert missing.status_code == 404
    assert "hybridci pool scale gpu" in missing.json()["detail"]
    body = {"min_agents": 2, "max_agents": 6, "target_wait_seconds": 5, "slots_per_agent": 3, "reason": "release day"}
    scaled = await fleet.admin.post("/api/agents/pools/gpu/scale", json=body)
    assert (scaled.status_code, scaled.json()["bounded"], scaled.json()["desired_agents"]) == (200, True, 2)
    fleet.queues.backlogs = {pool_queue("gpu"): Backlog({3: 10})}
    fleet.another_process()
    view = await fleet.pool("gpu")
    assert (view["desired_agents"], view["bounds"]["slots_per_agent"]) == (4, 3)
    assert [pool["name"] for pool in (await fleet.admin.get("/api/agents/pools")).json()["items"]] == ["gpu"]
    events = (await fleet.admin.get("/api/events")).json()["items"]
    assert [(event["pool"], event["reason"]) for event in events] == [("gpu", "release day")]


async def test_a_pool_with_waiting_jobs_is_shown_though_nobody_knows_it(fleet: FleetBench) -> None:
    fleet.queues.backlogs = {pool_queue("typo"): Backlog({3: 1}, 9)}
    view = await fleet.pool("typo")
    assert (view["waiting"], view["agents"], view["desired_agents"]) == (1, {}, 1)


async def test_pools_that_nobody_serves_are_in_the_list_while_jobs_wait_there(fleet: FleetBench) -> None:
    async def listed() -> list[tuple[str, int, dict[str, int]]]:
        answer = await fleet.admin.get("/api/agents/pools")
        assert answer.status_code == 200, answer.text
        return [(each["name"], each["waiting"], each["agents"]) for each in answer.json()["items"]]

    await fleet.register("agent-1", pool="linux")
    await fleet.submit(pool="gpu")
    await fleet.submit(pool="taken")  # an agent has it, and its record is about to say so: nothing waits there
    fleet.queues.backlogs = {pool_queue("gpu"): Backlog({3: 1}, 5)}
    fleet.another_process()
    assert await listed() == [("gpu", 1, {}), ("linux", 0, {"HEALTHY": 1})]
    assert 'hybridci_pool_slots{pool="gpu"} 0.0' in (await fleet.admin.get("/metrics")).text
    fleet.queues.backlogs = {}
    fleet.another_process()
    assert await listed() == [("linux", 0, {"HEALTHY": 1})]


async def test_however_many_ask_temporal_is_asked_once(fleet: FleetBench) -> None:
    await fleet.register()
    fleet.queues.asked.clear()
    await asyncio.gather(*(fleet.pool() for _ in range(20)))
    assert fleet.queues.asked == ["pool-linux"]


async def test_without_temporal_the_answer_is_503_and_the_other_metrics_stay(fleet: FleetBench) -> None:
    await fleet.register()
    fleet.queues.failure = Unavailable("Temporal is away")
    assert (await fleet.admin.get("/api/agents/pools/linux")).status_code == 503
    metrics = await fleet.admin.get("/metrics")
    assert metrics.status_code == 200
    assert 'hybridci_jobs{state="depth"}' in metrics.text
    assert "hybridci_pool_slots{" not in metrics.text


async def test_metrics_for_prometheus_and_keda(fleet: FleetBench) -> None:
    await fleet.register(capacity=4)
    await fleet.beat(running=["a"])
    fleet.queues.backlogs = {pool_queue("linux"): Backlog({2: 7}, 3)}
    lines = (await fleet.admin.get("/metrics")).text.splitlines()
    assert {
        'hybridci_pool_depth{pool="linux",priority="HIGH"} 7.0',
        'hybridci_pool_depth{pool="linux",priority="LOW"} 0.0',
        'hybridci_pool_oldest_wait_seconds{pool="linux"} 3.0',
        'hybridci_pool_agents{pool="linux",status="HEALTHY"} 1.0',
        'hybridci_pool_agents{pool="linux",status="OFFLINE"} 0.0',
        'hybridci_pool_slots{pool="linux"} 4.0',
        'hybridci_pool_busy{pool="linux"} 1.0',
        'hybridci_pool_free{pool="linux"} 3.0',
        'hybridci_pool_desired_agents{pool="linux"} 2.0',
    } <= set(lines)


async def test_a_value_is_read_once_for_all_and_again_when_it_is_old() -> None:
    now, read, gate = [0.0], list[str](), asyncio.Event()

    async def read_it(key: str) -> int:
        read.append(key)
        await gate.wait()
        return len(read)

    cached = Cached(read_it, 10, clock=lambda: now[0])
    first = [asyncio.create_task(cached.get("a")) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*first) == [1, 1, 1]
    now[0] = 9.9
    assert await cached.get("a") == 1
    now[0] = 10.1
    assert await cached.get("a") == 1, "a little too old: it is read beside"
    await until(lambda: len(read) == 2)
    assert await cached.get("a") == 2
    now[0] = 31
    assert await cached.get("a") == 3, "much too old: whoever asks waits"
    cached.forget("a")
    assert await cached.get("a") == 4


async def test_a_reading_that_began_before_a_change_is_not_kept() -> None:
    values, gate, begun = ["before"], asyncio.Event(), list[str]()

    async def read_it(_: str) -> str:
        found = values[-1]
        begun.append(found)
        await gate.wait()
        return found

    cached = Cached(read_it, 10)
    early = asyncio.create_task(cached.get("a"))
    await until(lambda: begun == ["before"])
    values.append("after")
    cached.forget("a")
    late = asyncio.create_task(cached.get("a"))
    await until(lambda: begun == ["before", "after"])
    gate.set()
    assert (await early, await late, await cached.get("a")) == ("before", "after", "after")


@workflow.defn(name="Waiting", sandboxed=False)
class _Waiting:
    """Puts tasks with priorities into a queue that nobody polls."""

    @workflow.run
    async def run(self, queue: str) -> None:
        for key in (1, 3, 3):
            workflow.start_activity(
                "nobody", task_queue=queue, start_to_close_timeout=timedelta(60),
                priority=TemporalPriority(priority_key=key),
            )  # fmt: skip
        await asyncio.sleep(600)


async def test_what_temporal_says_of_a_queue(temporal_client: Client) -> None:
    queue, control, queues = f"pool-{uuid.uuid4()}", f"control-{uuid.uuid4()}", TaskQueues(temporal_client)
    assert await queues.backlog(queue) == EMPTY
    worker = Worker(
        temporal_client, task_queue=control, workflows=[_Waiting], workflow_runner=UnsandboxedWorkflowRunner()
    )
    async with worker:
        handle: Any = await temporal_client.start_workflow("Waiting", queue, id=control, task_queue=control)
        try:
            found = EMPTY
            for _ in range(200):
                found = await queues.backlog(queue)
                if found.waiting == 3 and found.oldest_wait_seconds > 0:
                    break
                await asyncio.sleep(0.05)
            assert found.by_priority == {1: 1, 3: 2}
            assert 0 < found.oldest_wait_seconds < 20
        finally:
            await handle.terminate()


async def _ended(fleet: FleetBench, pool: str, seconds: float, number: int) -> None:
    spec = JobSpec(
        job_type="test", git_repo="https://example.com/shop.git", git_commit_sha="a" * 40, git_author="ann", pool=pool
    )
    job = new_job(spec, job_id=str(uuid.uuid4()), now=1000 + number)
    ended = {"status": JobStatus.SUCCESS, "queue_status": QueueStatus.COMPLETED, "duration_seconds": seconds}
    await fleet.stores.jobs.write(JobWrite(job=job.model_copy(update={**ended, "sequence": 1, "completed_at": 2000})))
