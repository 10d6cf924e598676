"""Keeping away from work on which the agent itself fails: how long, how it ends, and what a restart remembers."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from agent.safety.gate import Gate, Reason
from agent.safety.quarantine import Quarantine
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.statuses import Outcome


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Host:
    """A quarantine with a clock of its own, and attempts that end."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.gate, self.clock, self.folder = Gate(), clock or Clock(), folder
        self.quarantine = Quarantine.load(folder, self.gate, clock=self.clock)

    def ends(self, outcome: Outcome, *, claimed_at: float | None = None, **fields: Any) -> None:
        claimed = int((self.clock.now if claimed_at is None else claimed_at) * 1000)
        values: dict[str, Any] = {"attempt": 1, "agent_id": "a", "claimed_at": claimed, "finished_at": claimed}
        self.quarantine.note(AttemptResult(**values, outcome=outcome, **fields))

    def fails(self, **fields: Any) -> None:
        values: dict[str, Any] = {"cause": "disk_full", "message": "The agent's disk is full.", **fields}
        self.ends(Outcome.AGENT_ERROR, **values)

    @property
    def seconds(self) -> float:
        return self.quarantine.failing.until / 1000 - self.clock.now

    def pass_time(self, seconds: float) -> None:
        """The timer is the loop's own, so it is looked at again as an agent that starts does."""
        self.clock.now += seconds


async def test_it_doubles_to_an_hour_and_ends_with_an_attempt_that_gets_to_its_steps(tmp_path: Path) -> None:
    host = Host(tmp_path)
    lengths: list[float] = []
    for _ in range(12):
        host.fails()
        assert host.gate.holds(Reason.QUARANTINED)
        lengths.append(host.seconds)
        host.pass_time(host.seconds + 1)
    assert lengths[:4] == [10, 20, 40, 80]
    assert lengths[-2:] == [3600, 3600]
    host.ends(Outcome.FAILED, started_at=1, exit_code=1)
    assert host.quarantine.failing.failures == 0
    assert host.gate.refusal is None
    host.fails()
    assert host.seconds == 10
    await host.quarantine.saved()


async def test_attempts_that_ran_beside_the_failing_one_say_nothing_new(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.fails(claimed_at=host.clock.now - 5)
    host.pass_time(1)
    host.fails(claimed_at=host.clock.now - 3)
    host.ends(Outcome.SUCCEEDED, claimed_at=host.clock.now - 3, started_at=1, exit_code=0)
    assert (host.quarantine.failing.failures, host.seconds) == (1, 9)
    await host.quarantine.saved()


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [
        (Outcome.FAILED, {"exit_code": 1, "started_at": 1}),
        (Outcome.CHECKOUT_FAILED, {"cause": "unknown_commit"}),
        (Outcome.CANCELLED, {}),
        (Outcome.AGENT_ERROR, {"cause": "secret_unavailable", "retryable": False}),
        (Outcome.AGENT_ERROR, {"cause": "not_started", "started_at": 1}),
    ],
)
async def test_what_is_the_jobs_own_fault_is_no_reason(
    tmp_path: Path, outcome: Outcome, fields: dict[str, Any]
) -> None:
    host = Host(tmp_path)
    host.ends(outcome, **fields)
    assert host.gate.refusal is None
    assert host.quarantine.failing.failures == 0


async def test_a_failure_before_the_steps_does_not_end_the_row(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.fails()
    host.pass_time(11)
    host.ends(Outcome.CHECKOUT_FAILED, cause="unknown_commit")
    host.fails()
    assert (host.quarantine.failing.failures, host.seconds) == (2, 20)
    await host.quarantine.saved()


async def test_a_restart_goes_on_where_it_stood_and_a_wrong_clock_makes_it_no_longer(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for _ in range(3):
        host.fails()
        host.pass_time(0.5)
    await host.quarantine.saved()
    again = Host(tmp_path, host.clock)
    assert again.gate.holds(Reason.QUARANTINED)
    assert (again.quarantine.failing.failures, again.seconds) == (3, 39.5)
    assert again.quarantine.failing.reason == "The agent's disk is full."
    host.clock.now -= 86_400
    set_back = Host(tmp_path, host.clock)
    assert set_back.seconds == 40
    set_back.fails()
    assert set_back.seconds == 80
    host.clock.now += 2 * 86_400
    await set_back.quarantine.saved()
    assert Host(tmp_path, host.clock).gate.refusal is None


async def test_it_ends_by_itself(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.fails()
    (tmp_path / "b").mkdir()
    await host.quarantine.saved()
    (tmp_path / "b" / "quarantine.json").write_bytes((tmp_path / "quarantine.json").read_bytes())
    host.pass_time(9.95)
    late = Host(tmp_path / "b", host.clock)
    assert late.gate.refusal is not None
    opened = late.gate.refusal
    ended = asyncio.Event()
    late.gate.on_change(ended.set)
    await asyncio.wait_for(ended.wait(), 60)
    assert late.gate.refusal is None
    assert "10 s" not in opened[1]


async def test_a_file_that_cannot_be_read_or_written_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "quarantine.json").write_text("{")
    (tmp_path / ".quarantine.json.torn").write_text("x")
    with caplog.at_level(logging.WARNING):
        host = Host(tmp_path)
    assert "cannot be read" in caplog.text
    assert host.gate.refusal is None
    assert not (tmp_path / ".quarantine.json.torn").exists()
    nowhere = Host(tmp_path / "nowhere")
    nowhere.fails()
    await nowhere.quarantine.saved()
    assert "could not be written" in caplog.text
    assert nowhere.gate.holds(Reason.QUARANTINED), "all the same"
