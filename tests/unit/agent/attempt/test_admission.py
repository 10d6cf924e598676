"""What an agent leaves to others although it came to it: a poll can be out when the reason arises."""

from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from agent.attempt.activity import Admission, Attempts, Watchers
from agent.safety.gate import Gate, Reason
from tests.control_plane_server import ControlPlaneServer
from tests.unit.agent.attempt.test_run import a_bench
from workflows.contracts.statuses import Outcome


async def nowhere() -> Client:
    """A client that is never used: what is declined is not reported by the agent itself."""
    return await Client.connect("127.0.0.1:1", lazy=True)


@pytest.mark.parametrize(
    ("fields", "closed", "capacity", "cause"),
    [
        ({"avoid_agent": "agent-1"}, None, 1, "declined"),
        ({"requires": ["gpu=*", "os=linux"]}, None, 1, "labels"),
        ({}, Reason.QUARANTINED, 1, "quarantined"),
        ({}, Reason.PAUSED, 1, "paused"),
        ({}, None, 0, "busy"),
    ],
)
async def test_an_attempt_that_is_not_taken_is_declined_with_the_reason(
    tmp_path: Path, fields: dict[str, object], closed: Reason | None, capacity: int, cause: str
) -> None:
    gate = Gate()
    if closed is not None:
        gate.close(closed, "it is so")
    ended: list[object] = []
    watchers = Watchers(ended=ended.append, cut_off=lambda: None, unauthenticated=lambda: None)
    async with ControlPlaneServer() as server, a_bench(server, tmp_path) as bench:
        admission = Admission(gate, {"os": "linux"}, capacity)
        attempts = Attempts(bench.host, await nowhere(), admission, watchers)
        result = await ActivityEnvironment().run(attempts.run_attempt, bench.attempt("0", **fields))
    assert (result.outcome, result.cause) == (Outcome.DECLINED, cause)
    assert result.message
    assert attempts.running == []
    assert ended == [], "it says nothing of the host"


async def test_all_reasons_must_go_before_the_gate_opens() -> None:
    gate, changes = Gate(), list[bool]()
    gate.on_change(lambda: changes.append(gate.refusal is None))
    gate.close(Reason.PAUSED, "tea")
    gate.close(Reason.PAUSED, "tea")
    assert not gate.closed_by_agent
    gate.close(Reason.CUT_OFF, "alone")
    assert gate.closed_by_agent
    gate.clear(Reason.PAUSED)
    assert gate.refusal == (Reason.CUT_OFF, "alone")
    gate.clear(Reason.CUT_OFF)
    gate.clear(Reason.CUT_OFF)
    assert changes == [False, False, False, True]
