"""Turns: an agent refuses an older one than it has seen, also after a restart, and stops one that is overtaken."""

import asyncio
import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.safety.fences import Fenced, Fences
from agent.safety.specifications import ControlKey, ControlKeys, Specifications
from agent.steps.process import ProcessEnd
from tests.agent.helpers import eventually
from tests.control_plane_server import ControlPlaneServer
from tests.unit.agent.attempt.test_run import Bench, FakeExecutor, a_bench
from tests.unit.workflows.job.test_record import a_job
from workflows.contracts.jobs import Attempt, Fence, RetryPolicy, Step
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.job.record import attempt_input
from workflows.job.retry import Action, decide


def turn(number: int, name: str = "shop/production") -> Fence:
    return Fence(name=name, number=number)


class _OvertakenExecutor(FakeExecutor):
    """While a step runs, a newer turn begins on the same agent."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    async def run(self, step: Step, **how: Any) -> ProcessEnd:
        await self._bench.host.fences.enter(turn(8))
        return await self._bench.executor.run(step, **how)


async def test_an_older_turn_is_refused_and_told_of_the_newer(tmp_path: Path) -> None:
    fences = Fences.load(tmp_path)
    await fences.enter(turn(5))
    await fences.enter(turn(5))  # another attempt or another percentage of the same turn
    await fences.enter(turn(1, "shop/staging"))
    await fences.enter(turn(9))
    with pytest.raises(Fenced, match=r"turn 5 of shop/production, but the agent has seen the newer turn 9"):
        await fences.enter(turn(5))
    assert fences.overtaken(turn(9)) is None
    assert fences.overtaken(None) is None


async def test_what_was_seen_is_on_disk_when_the_turn_begins(tmp_path: Path) -> None:
    """No ``close`` and no second write: what a kill -9 leaves is what the next agent reads."""
    await Fences.load(tmp_path).enter(turn(2**53))
    (tmp_path / ".fences.json.torn").write_text("{")
    again = Fences.load(tmp_path)
    with pytest.raises(Fenced):
        await again.enter(turn(2**53 - 1))
    assert os.listdir(tmp_path) == ["fences.json"], "a write that was cut off is tidied away"


async def test_a_turn_is_good_for_its_deployments_attempts_and_no_others(tmp_path: Path) -> None:
    fences = Fences.load(tmp_path)
    await fences.enter(turn(5), "d-1")
    for known in (fences, Fences.load(tmp_path)):
        await known.enter(turn(5), "d-1")
        for other in ("d-2", None):
            with pytest.raises(
                Fenced, match=r"turn 5 of shop/production, but on this agent that turn is deployment d-1's"
            ):
                await known.enter(turn(5), other)
        assert known.overtaken(turn(5), "d-1") is None
    await fences.enter(turn(6), "d-2")
    with pytest.raises(Fenced, match="newer turn 6"):
        await fences.enter(turn(5), "d-1")
    assert json.loads((tmp_path / "fences.json").read_text()) == {"shop/production": {"number": 6, "holder": "d-2"}}


async def test_a_turn_that_an_earlier_version_has_seen_becomes_its_first_holders(tmp_path: Path) -> None:
    (tmp_path / "fences.json").write_text('{"shop/production": 5}')
    fences = Fences.load(tmp_path)
    with pytest.raises(Fenced, match="newer turn 5"):
        await fences.enter(turn(4), "d-0")
    await fences.enter(turn(5))
    await fences.enter(turn(5), "d-1")
    assert Fences.load(tmp_path).overtaken(turn(5), "d-2") is not None


async def test_an_attempt_of_another_deployment_checks_nothing_out(tmp_path: Path) -> None:
    async with ControlPlaneServer() as server, a_bench(server, tmp_path) as bench:
        await bench.host.fences.enter(turn(7), "d-1")
        result = await bench.run(bench.attempt("0", fence=turn(7), deployment_id="d-2"))
    assert (bench.executor.ran, result.cause, result.retryable) == ([], "fenced", False)


async def test_the_oldest_names_are_forgotten_first(tmp_path: Path) -> None:
    fences = Fences.load(tmp_path, max_names=2)
    for number, name in ((10, "a"), (20, "b"), (11, "a"), (30, "c")):
        await fences.enter(turn(number, name))
    assert json.loads((tmp_path / "fences.json").read_text()) == {"a": 11, "c": 30}
    assert fences.overtaken(turn(1, "b")) is None
    for known in (fences, Fences.load(tmp_path)):
        assert known.overtaken(turn(10, "a")) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"a": 1',
        b"[]",
        b'{"a": "1"}',
        b'{"a": true}',
        b'{"a": -1}',
        b"\xff\xfe",
        b'{"a": 1.5}',
        b'{"a": {"number": 1}}',
    ],
)
async def test_a_damaged_file_is_left_behind_with_a_warning(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fences.json").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        fences = Fences.load(tmp_path)
    assert "fences.json cannot be read" in caplog.text
    await fences.enter(turn(3))
    assert Fences.load(tmp_path).overtaken(turn(2)) is not None


async def test_a_number_that_could_not_be_kept_is_no_turn(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    fences = Fences.load(folder)
    with pytest.raises(FileNotFoundError):
        await fences.enter(turn(4))
    folder.mkdir()
    await fences.enter(turn(4))
    assert Fences.load(folder).overtaken(turn(3)) is not None


async def test_a_refused_attempt_checks_nothing_out_and_is_not_tried_again(tmp_path: Path) -> None:
    async with ControlPlaneServer() as server:
        async with a_bench(server, tmp_path) as first:
            await first.run(first.attempt("0", fence=turn(8)))
        async with a_bench(server, tmp_path) as bench:  # an agent that was started again in the same folder
            attempt = bench.attempt("0", fence=turn(7))
            result = await bench.run(attempt)
            assert bench.executor.ran == []
            log = await bench.log(attempt)
    assert (result.outcome, result.cause, result.retryable) == (Outcome.AGENT_ERROR, "fenced", False)
    assert "newer turn 8" in (result.message or "")
    assert log.splitlines() == [f"[hybridci] {result.message}"]
    ended = Attempt(number=1, queued_at=1, outcome=result.outcome, cause=result.cause, message=result.message)
    decision = decide(RetryPolicy(park=False), [ended], retryable=result.retryable)
    assert (decision.action, decision.status) == (Action.FINISH, JobStatus.ERROR)


async def test_an_overtaken_attempt_stops_at_its_next_step(tmp_path: Path) -> None:
    async with ControlPlaneServer() as server, a_bench(server, tmp_path) as bench:
        bench.host = replace(bench.host, executor=_OvertakenExecutor(bench))
        steps = [Step(name=f"s{number}", run="1", continue_on_error=True) for number in range(3)]
        result = await bench.run(bench.attempt(fence=turn(7), steps=steps))
    assert bench.executor.ran == ["s0"]
    assert (result.outcome, result.cause, result.retryable) == (Outcome.AGENT_ERROR, "fenced", False)
    assert [step.outcome for step in result.steps] == [Outcome.FAILED, None, None]


async def test_an_attempt_overtaken_during_its_checkout_runs_no_step(tmp_path: Path) -> None:
    async with ControlPlaneServer() as server, a_bench(server, tmp_path) as bench:
        bench.checkout.go = asyncio.Event()
        attempt = bench.attempt("0", fence=turn(7))
        running = asyncio.create_task(bench.run(attempt))
        await eventually(lambda: (tmp_path / "fences.json").exists(), "the older turn")
        await bench.host.fences.enter(turn(8))
        bench.checkout.go.set()
        result = await running
    assert (bench.executor.ran, result.cause) == ([], "fenced")


async def test_a_job_that_may_be_forged_moves_no_turn(tmp_path: Path) -> None:
    keys = ControlKeys(keys=[ControlKey(name="control", key="A" * 43 + "=")])
    async with ControlPlaneServer() as server, a_bench(server, tmp_path) as bench:
        bench.host = replace(bench.host, specifications=Specifications(keys, "default"))
        result = await bench.run(bench.attempt("0", fence=turn(2**53), deployment_id="d-1"))
    assert (result.outcome, result.cause) == (Outcome.AGENT_ERROR, "specification_unverified")
    assert (result.retryable, bench.executor.ran) == (False, [])
    assert not (tmp_path / "fences.json").exists()


def test_the_control_plane_hands_the_fence_on() -> None:
    assert attempt_input(a_job(fence=turn(7)), 1, avoid_agent=None).fence == turn(7)
    assert attempt_input(a_job(), 1, avoid_agent=None).fence is None
    for how in ({"deployment_id": "d-1"}, {"created_by": "deployment d-1"}):
        job = a_job().model_copy(update=how)
        assert attempt_input(job, 1, avoid_agent=None).deployment_id == "d-1"
