"""The agent's process and the registry: labels, pause, drain, tokens and names, with real jobs on a real Temporal."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests import servers
from tests.agent.agent_process import LAST_POLL_SECONDS, AgentProcess, Repository
from tests.agent.helpers import begin, eventually, result_of, succeeded
from tests.control_plane_server import TOKEN, ControlPlaneServer
from tests.faults.proxy import proxy_to
from workflows.contracts.agents import AgentStatus, HeartbeatAnswer
from workflows.contracts.statuses import Outcome

GPU = ["gpu=*"]


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlaneServer]:
    """An API of the test's own: what it orders is for one agent."""
    async with ControlPlaneServer() as server:
        yield server


@pytest.fixture
async def worker(
    tmp_path: Path, temporal_server: servers.Server, plane: ControlPlaneServer
) -> AsyncIterator[AgentProcess]:
    environment = {"HYBRIDCI_AGENT_LABELS": "gpu=a100", "HYBRIDCI_AGENT_REGION": "here", "HYBRIDCI_AGENT_CAPACITY": "2"}
    agent = AgentProcess(tmp_path / "a", temporal_server.address, plane.url, f"pool{tmp_path.name}"[:60], environment)
    agent.pool = agent.pool.lower().replace("_", "-")[:60].rstrip("-")
    agent.start()
    try:
        await asyncio.to_thread(agent.wait_for_log, " works for pool ")
        yield agent
    finally:
        agent.ensure_dead()


def order(plane: ControlPlaneServer, **fields: object) -> None:
    values = {"status": AgentStatus.HEALTHY, "heartbeat_seconds": 1, **fields}
    plane.registry.orders = HeartbeatAnswer.model_validate(values)


async def test_it_registers_works_for_labels_pauses_and_drains_as_it_is_told(
    worker: AgentProcess, plane: ControlPlaneServer, starter: Client, repository: Repository
) -> None:
    [registered] = plane.registry.registered
    assert (registered.pool, registered.capacity, registered.region) == (worker.pool, 2, "here")
    assert registered.labels["gpu"] == "a100"
    assert registered.hostname
    assert registered.version

    demanding = repository.attempt("true", pool=worker.pool, requires=GPU)
    waiting = await begin(starter, demanding)
    order(plane, requirements=[GPU, ["os=plan9"]])
    assert (await asyncio.wait_for(waiting.result(), 60)).outcome is Outcome.SUCCEEDED
    assert "os=plan9" not in worker.log.read_text(), "a demand that it does not meet is not its own"

    running = repository.attempt("echo begun; while [ ! -e ${0%/*}/../go ]; do sleep 0.05; done", pool=worker.pool)
    handle = await begin(starter, running)
    await eventually(lambda: b"begun" in plane.log(running.job_id).data, "the step")
    await eventually(lambda: plane.registry.heartbeats[-1].running == [running.job_id], "the job in a heartbeat")
    order(plane, requirements=[GPU], accepting=False, note="new disk")
    await asyncio.to_thread(worker.wait_for_log, "new disk")
    late = [repository.attempt("true", pool=worker.pool, requires=each) for each in ([], GPU)]
    handles = [await begin(starter, each) for each in late]
    await asyncio.sleep(0.5)
    assert plane.registry.heartbeats[-1].running == [running.job_id]
    order(plane, requirements=[GPU])
    for each, begun in zip(late, handles, strict=True):
        assert await succeeded(starter, each, begun)

    order(plane, status=AgentStatus.DRAINING, accepting=False, drain=True, note="the host is replaced")
    await eventually(lambda: plane.registry.heartbeats[-1].draining, "the drain")
    _go(worker, running.job_id)
    assert (await asyncio.wait_for(handle.result(), 60)).outcome is Outcome.SUCCEEDED
    assert await asyncio.to_thread(worker.running.wait, LAST_POLL_SECONDS) == 0
    assert plane.registry.gone == [registered.agent_id]


async def test_a_refused_token_disturbs_no_job_and_no_log(
    worker: AgentProcess, plane: ControlPlaneServer, starter: Client, repository: Repository
) -> None:
    attempt = repository.attempt("for i in 1 2 3 4 5 6; do echo line $i; sleep 0.3; done", pool=worker.pool)
    handle = await begin(starter, attempt)
    await eventually(lambda: b"line 1" in plane.log(attempt.job_id).data, "the step")
    plane.registry.token = "another"
    result = await asyncio.wait_for(handle.result(), 60)
    await eventually(lambda: plane.log(attempt.job_id).final, "the log")
    assert result.outcome is Outcome.SUCCEEDED
    assert b"line 4\nline 5\nline 6\n" in plane.log(attempt.job_id).data
    assert len(plane.registry.registered) == 2
    assert not any(secret in worker.log.read_text() for secret in (TOKEN, "another"))


async def test_killed_and_started_again_it_is_the_same_agent_and_goes_when_its_name_is_taken(
    worker: AgentProcess, plane: ControlPlaneServer, starter: Client, repository: Repository
) -> None:
    await eventually(lambda: bool(plane.registry.heartbeats), "a heartbeat")
    worker.end(signal.SIGKILL)
    before = plane.registry.heartbeats[-1].sequence
    worker.start()
    await eventually(lambda: plane.registry.heartbeats[-1].sequence > before + 1000, "a heartbeat of the second")
    first, second = plane.registry.registered
    assert (second.agent_id, second.instance) == (first.agent_id, first.instance)
    assert (await result_of(starter, repository.attempt("true", pool=worker.pool))).outcome is Outcome.SUCCEEDED

    running = repository.attempt("echo begun; sleep 6; echo ended", pool=worker.pool)
    handle = await begin(starter, running)
    await eventually(lambda: b"begun" in plane.log(running.job_id).data, "the step")
    plane.registry.refusal = (409, "Agent x is alive on host b.")
    plane.registry.unknown = True
    assert (await asyncio.wait_for(handle.result(), 60)).outcome is Outcome.SUCCEEDED
    assert await asyncio.to_thread(worker.running.wait, LAST_POLL_SECONDS) == 2
    assert "Agent x is alive on host b." in worker.log.read_text()
    assert plane.registry.gone == []
    worker.start()
    assert await asyncio.to_thread(worker.running.wait, 30) == 2
    assert worker.log.read_text().splitlines()[-1].startswith("This agent cannot register: ")


async def test_a_failing_host_keeps_away_from_work_and_remembers_it(
    worker: AgentProcess, plane: ControlPlaneServer, starter: Client, repository: Repository
) -> None:
    (worker.directory / "attempts").write_text("not a folder")
    result = await result_of(starter, repository.attempt("true", pool=worker.pool))
    assert (result.outcome, result.cause) == (Outcome.AGENT_ERROR, "agent_files")
    beats = plane.registry.heartbeats
    await eventually(lambda: bool(beats) and beats[-1].quarantined_until is not None, "the quarantine in a heartbeat")
    (worker.directory / "attempts").unlink()
    worker.end(signal.SIGKILL)
    handle = await begin(starter, repository.attempt("true", pool=worker.pool))
    worker.start()
    await asyncio.to_thread(worker.wait_for_log, "in quarantine for")
    assert (await asyncio.wait_for(handle.result(), 60)).outcome is Outcome.SUCCEEDED
    await eventually(lambda: beats[-1].quarantine_failures == 0, "the end of the row")


def _go(worker: AgentProcess, job_id: str) -> None:
    (worker.directory / "attempts" / f"{job_id}-1" / "go").touch()


async def test_cut_off_from_everybody_it_takes_nothing_until_somebody_answers(
    tmp_path: Path, temporal_server: servers.Server, plane: ControlPlaneServer, starter: Client, repository: Repository
) -> None:
    with proxy_to(temporal_server.port) as to_temporal, proxy_to(plane.port) as to_api:
        agent = AgentProcess(
            tmp_path / "a", f"{servers.HOST}:{to_temporal.port}", f"http://{servers.HOST}:{to_api.port}", "cut-off"
        )
        try:
            agent.start()
            await eventually(lambda: bool(plane.registry.heartbeats), "a heartbeat")
            for network in (to_temporal, to_api):
                network.cut()
            await asyncio.to_thread(agent.wait_for_log, "neither the API nor Temporal answers")
            handle = await begin(starter, repository.attempt("true", pool="cut-off"))
            for network in (to_temporal, to_api):
                network.mend()
            assert (await asyncio.wait_for(handle.result(), 60)).outcome is Outcome.SUCCEEDED
            assert "No longer cut_off: new work is taken again" in agent.log.read_text()
            assert await asyncio.to_thread(agent.end) == 0
        finally:
            agent.ensure_dead()
