"""Heartbeats to a real HTTP server: what they tell, what is obeyed, and what follows when nobody answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agent.control.api import ControlPlane
from agent.control.heartbeat import HeartbeatLoop, HeartbeatSubject, Orders
from agent.safety.gate import Gate, Reason
from agent.safety.quarantine import Quarantine
from tests.agent.helpers import eventually
from tests.control_plane_server import TOKEN, ControlPlaneServer
from workflows.contracts.agents import AgentRegistration, AgentStatus, HeartbeatAnswer
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.statuses import Outcome


class Beating:
    """Heartbeats of one agent, and what came of them."""

    def __init__(self, server: ControlPlaneServer, plane: ControlPlane, folder: Path, starts: int = 1) -> None:
        self.server, self.gate = server, Gate()
        self.quarantine = Quarantine.load(folder, self.gate)
        self.demands: list[Sequence[Sequence[str]]] = []
        self.drains = self.registrations = 0
        self.temporal = True
        registration = AgentRegistration(agent_id="agent-1", instance="instance-1", version="1", labels={"os": "linux"})
        self.heartbeats = HeartbeatLoop(
            plane,
            HeartbeatSubject(registration, starts, folder, lambda: ["job-1"], self.gate, self.quarantine),
            Orders(self.demands.append, self._drain, self._register, self._answers),
        )
        self.gate.on_change(self.heartbeats.soon)

    def order(self, **fields: object) -> None:
        values = {"status": AgentStatus.HEALTHY, "heartbeat_seconds": 1, **fields}
        self.server.registry.orders = HeartbeatAnswer.model_validate(values)

    def _drain(self) -> None:
        self.drains += 1

    def _register(self) -> None:
        self.registrations += 1

    async def _answers(self, seconds: float) -> bool:
        return self.temporal


@pytest.fixture
async def beating(tmp_path: Path) -> AsyncIterator[Beating]:
    async with ControlPlaneServer() as server, ControlPlane(server.url, "none", connections=4) as plane:
        plane.use_token(TOKEN)
        beating = Beating(server, plane, tmp_path)
        keeping = asyncio.create_task(beating.heartbeats.keep())
        await eventually(lambda: bool(beating.demands), "the first heartbeat")
        yield beating
        assert not keeping.done()
        keeping.cancel()


async def test_it_tells_how_the_agent_is(beating: Beating) -> None:
    told = beating.server.registry.heartbeats[0]
    assert (told.running, told.version, told.labels) == (["job-1"], "1", {"os": "linux"})
    assert (told.accepting, told.draining, told.quarantined_until) == (True, False, None)
    assert told.cpu_percent is not None
    assert told.memory_percent is not None
    assert 0 < told.memory_percent <= 100
    assert told.disk_percent is not None
    assert told.load is not None
    await eventually(lambda: len(beating.server.registry.heartbeats) > 1, "the second")
    first, second = (each.sequence for each in beating.server.registry.heartbeats[:2])
    assert second == first + 1


async def test_a_later_start_counts_from_higher_up(beating: Beating, tmp_path: Path) -> None:
    """Whatever happened to the clock meanwhile."""
    (tmp_path / "next").mkdir()
    async with ControlPlane(beating.server.url, "none", connections=1) as plane:
        plane.use_token(TOKEN)
        later = asyncio.create_task(Beating(beating.server, plane, tmp_path / "next", starts=2).heartbeats.keep())
        before = beating.server.registry.heartbeats[-1].sequence
        await eventually(lambda: beating.server.registry.heartbeats[-1].sequence > before + 1000, "the later start")
        later.cancel()


async def test_what_it_is_told_is_obeyed_within_a_heartbeat(beating: Beating) -> None:
    beating.order(accepting=False, note="the disk is replaced", requirements=[["gpu=*"]])
    await eventually(lambda: beating.gate.holds(Reason.PAUSED), "the pause")
    assert beating.gate.refusal == (Reason.PAUSED, "the control plane says so: the disk is replaced")
    assert beating.demands[-1] == [["gpu=*"]]
    await eventually(lambda: beating.server.registry.heartbeats[-1].accepting, "its own view")
    beating.order()
    await eventually(lambda: beating.gate.refusal is None, "the end of the pause")
    beating.order(status=AgentStatus.DRAINING, accepting=False, drain=True)
    await eventually(lambda: beating.drains > 0, "the drain")


async def test_news_is_told_at_once(beating: Beating) -> None:
    beating.order(heartbeat_seconds=60)
    await eventually(lambda: beating.heartbeats.seconds == 60, "the long interval")
    values = {"attempt": 1, "agent_id": "a", "claimed_at": 1, "finished_at": 1, "message": "The disk is full."}
    beating.quarantine.note(AttemptResult.model_validate({**values, "outcome": Outcome.AGENT_ERROR}))
    beats = beating.server.registry.heartbeats
    await eventually(lambda: beats[-1].quarantined_until is not None, "the news", 3)
    assert (beats[-1].accepting, beats[-1].quarantine_failures) == (False, 1)
    assert beats[-1].quarantine_reason == "The disk is full."
    await beating.quarantine.saved()


async def test_an_agent_that_is_not_known_registers_again(beating: Beating) -> None:
    beating.server.registry.unknown = True
    await eventually(lambda: beating.registrations > 0, "the registration")
    assert beating.gate.refusal is None


async def test_without_an_answer_from_anybody_nothing_new_is_taken(
    beating: Beating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.control.heartbeat._AWAY_SECONDS", 0.1)
    await beating.server.down()
    beating.heartbeats.soon()
    await asyncio.sleep(0.8)
    assert beating.gate.refusal is None, "Temporal answers: results can be reported"
    beating.temporal = False
    await eventually(lambda: beating.gate.holds(Reason.CUT_OFF), "being cut off")
    beating.temporal = True
    await eventually(lambda: beating.gate.refusal is None, "Temporal again")
    beating.temporal = False
    await eventually(lambda: beating.gate.holds(Reason.CUT_OFF), "being cut off again")
    await beating.server.up()
    await eventually(lambda: beating.gate.refusal is None, "the API again")
