"""What this process needs and what the whole needs: who is told what, and how seldom each part is asked."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.clock import epoch_millis
from activities.stores.memory.agents import MemoryAgentStore
from activities.stores.memory.artifacts import MemoryArtifactStore
from activities.stores.open import open_memory_stores
from api.system.checks import (
    LATE_SECONDS,
    SILENT_SECONDS,
    Check,
    Checks,
    disk_check,
    files_check,
    worker_check,
    write_check,
)
from api.temporal.task_queues import Attendance, TaskQueues
from tests.api.conftest import Bench
from tests.api.fake_repairs import stuck_job
from tests.api.live import until
from workflows.contracts.agents import AgentBeat
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.contracts.jobs import ArtifactRef

READY, SYSTEM = "/health/ready", "/health/system"


def said(text: str | None) -> Check:
    async def check() -> str | None:
        return text

    return check


def with_parts(bench: Bench, **parts: str | None) -> None:
    needed = {"temporal": said(None), "dynamodb": said(None)}
    bench.app.state.checks = Checks(needed, {name: said(text) for name, text in parts.items()})


async def test_what_only_the_whole_needs_leaves_this_process_ready(bench: Bench) -> None:
    with_parts(bench, worker="no control worker asks for work", disk="is full", store=None)
    answer = await bench.anyone.get(READY)
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["degraded"]) == ("ready", ["disk", "worker"])


async def test_the_whole_is_503_and_names_each_part_with_what_to_do(bench: Bench) -> None:
    with_parts(bench, worker="start `hybridci worker`", disk="/data has 1 MiB left", store="takes no writes")
    bench.repairs.found = [stuck_job("1")]
    answer = await bench.admin.get(SYSTEM)
    body = answer.json()
    assert (answer.status_code, body["code"], body["detail"]) == (503, "degraded", "Not well: disk, store, worker.")
    assert {each["field"]: each["message"] for each in body["errors"]} == {
        "worker": "start `hybridci worker`",
        "disk": "/data has 1 MiB left",
        "store": "takes no writes",
    }
    assert (body["stuck"], len(body["items"])) == (1, 1)
    assert (await bench.anyone.get(READY)).status_code == 200
    assert (await bench.anyone.get(SYSTEM)).status_code == 401


async def test_a_whole_without_temporal_names_it(bench: Bench) -> None:
    bench.job_client.failure = bench.repairs.failure = Unavailable("Temporal does not answer.")
    body = (await bench.admin.get(SYSTEM)).json()
    assert [each["field"] for each in body["errors"]] == ["temporal"]


async def test_each_part_is_asked_once_for_many_who_ask() -> None:
    asked: list[str] = []

    def counted(name: str) -> Check:
        async def check() -> str | None:
            asked.append(name)
            await asyncio.sleep(0)
            return None

        return check

    checks = Checks({"a": counted("a")}, {"b": counted("b")})
    for _ in range(50):
        await asyncio.gather(checks.needed(), checks.whole(), checks.whole())
    assert sorted(asked) == ["a", "b"]
    checks.forget()
    await checks.needed()
    assert sorted(asked) == ["a", "a", "b"]


async def test_a_part_that_hangs_or_breaks_is_not_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("api.system.checks._CHECK_SECONDS", 0.05)

    async def hangs() -> str | None:
        await asyncio.sleep(5)
        return None

    async def breaks() -> str | None:
        raise RuntimeError("at 10.0.0.7")

    found = await Checks({"slow": hangs, "broken": breaks}, {}).needed()
    assert found["slow"].startswith("did not answer")
    assert "10.0.0.7" not in found["broken"]
    assert "a check failed" in caplog.text


class FakeAttendance(TaskQueues):
    """Says what it is given."""

    def __init__(self, answer: Attendance | Unavailable) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def attendance(self, queue: str, *, now: int) -> Attendance:
        self.asked.append(queue)
        if isinstance(self.answer, Unavailable):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("attendance", "word"),
    [
        (Attendance(None), "no control worker asks for work"),
        (Attendance(SILENT_SECONDS + 1), "has asked for work for 91 s"),
        (Attendance(1, LATE_SECONDS + 1), "does not keep up"),
        (Attendance(SILENT_SECONDS - 1, LATE_SECONDS - 1), None),
        (Unavailable("named itself"), None),
    ],
)
async def test_a_worker_that_is_not_there_or_stands_still(
    attendance: Attendance | Unavailable, word: str | None
) -> None:
    queues = FakeAttendance(attendance)
    found = await worker_check(lambda: queues, epoch_millis)()
    assert queues.asked == [CONTROL_QUEUE]
    if word is None:
        assert found is None
    else:
        assert found is not None
        assert word in found
        assert "hybridci worker" in found


async def test_a_full_disk_is_named_with_its_folder(tmp_path: Path) -> None:
    assert await disk_check([tmp_path], 1)() is None
    found = await disk_check([tmp_path, tmp_path / "gone"], 1 << 60)()
    assert found is not None
    assert f"{tmp_path} has " in found
    assert f"{tmp_path / 'gone'} cannot be looked at" in found


class ReadOnly(MemoryAgentStore):
    """Answers reads, as a store does whose disk is full."""

    async def beat(self, beats: Sequence[AgentBeat]) -> None:
        raise Unavailable("read-only")


async def test_a_store_that_takes_no_writes_is_named_though_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    stores = open_memory_stores()
    assert await write_check(stores.agents, epoch_millis)() is None
    assert (await stores.agents.pools(), await stores.agents.of_pool("!write-probe")) == ([], [])
    found = await write_check(ReadOnly(stores.events), epoch_millis)()  # pyright: ignore[reportArgumentType]
    assert found is not None
    assert found.startswith("takes no writes")
    assert "the store takes no writes" in caplog.text


class Full(MemoryArtifactStore):
    """Answers reads, as a bucket does whose policy was changed."""

    async def put(
        self, job_id: str, attempt: int, path: str, body: BinaryIO, *, sha256: str, executable: bool = False
    ) -> ArtifactRef:
        raise Unavailable("AccessDenied")


async def test_a_bucket_that_takes_no_writes_is_named(caplog: pytest.LogCaptureFixture) -> None:
    stores = open_memory_stores()
    check = files_check(stores.artifacts)
    assert (await check(), await check()) == (None, None)
    found = await files_check(Full())()
    assert found is not None
    assert found.startswith("takes no writes")
    assert "the bucket takes no writes" in caplog.text


@workflow.defn
class Idle:
    """Done at once."""

    @workflow.run
    async def run(self) -> None: ...


async def test_temporal_says_who_asks_for_work_and_what_waits(temporal_client: Client) -> None:
    queues, queue = TaskQueues(temporal_client), f"attended-{uuid4()}"

    async def now() -> Attendance:
        return await queues.attendance(queue, now=epoch_millis())

    assert await now() == Attendance(None)
    worker = Worker(temporal_client, task_queue=queue, workflows=[Idle], workflow_runner=UnsandboxedWorkflowRunner())
    found: list[Any] = []
    async with worker:
        async with asyncio.timeout(20):
            while not found or found[-1].silent_seconds is None:
                found.append(await now())
                await asyncio.sleep(0.1)
        assert found[-1].silent_seconds < 15
        assert found[-1].oldest_wait_seconds == 0
    handle = await temporal_client.start_workflow(
        "Idle", id=f"idle-{uuid4()}", task_queue=queue, execution_timeout=timedelta(seconds=60)
    )
    waits: list[float] = []

    async def look() -> None:
        while not waits or waits[-1] < 0.5:
            waits.append((await now()).oldest_wait_seconds)
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    await until(looking.done)
    await handle.terminate()
