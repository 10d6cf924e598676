"""The agent's process from start to end: refused starts, draining, kill -9, and Temporal away."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from agent.logs.spool import LOST_MARKER
from tests import servers
from tests.agent.agent_process import LAST_POLL_SECONDS, AgentProcess, OneAttempt, Repository
from tests.agent.helpers import QUEUE, begin, eventually, result_of, succeeded
from tests.control_plane_server import ControlPlaneServer
from workflows.contracts.statuses import OnPartition, Outcome


async def test_a_killed_agents_processes_end_and_its_log_is_sent_by_the_next(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository, tmp_path: Path
) -> None:
    lone.start()
    attempt = repository.attempt(f"echo $$ > {tmp_path}/pid; echo begun; exec sleep 300", pool=lone.pool)
    handle = await begin(starter, attempt)
    await eventually(lambda: b"begun" in api.log(attempt.job_id).data, "the step")
    pid = int((tmp_path / "pid").read_text())
    lone.end(signal.SIGKILL)
    lone.start()
    await eventually(lambda: not psutil.pid_exists(pid), "the end of what the dead agent ran")
    await eventually(lambda: api.log(attempt.job_id).final, "the rest of the log")
    assert api.log(attempt.job_id).data.endswith(b"begun\n" + LOST_MARKER.encode() + b"\n")
    again = await result_of(starter, repository.attempt("true", pool=lone.pool))
    assert again.outcome is Outcome.SUCCEEDED
    await give_up(handle)
    assert await asyncio.to_thread(lone.end) == 0


async def test_sigterm_finishes_what_runs_and_takes_nothing_new(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    lone.start()
    attempt = repository.attempt("echo begun; sleep 2; echo ended", pool=lone.pool)
    handle = await begin(starter, attempt)
    await eventually(lambda: b"begun" in api.log(attempt.job_id).data, "the step")
    lone.send(signal.SIGTERM)
    await asyncio.to_thread(lone.wait_for_log, "Draining")
    late = repository.attempt("true", pool=lone.pool)
    waiting = await begin(starter, late)
    assert (await asyncio.wait_for(handle.result(), 60)).outcome is Outcome.SUCCEEDED
    assert await asyncio.to_thread(lone.running.wait, LAST_POLL_SECONDS) == 0
    assert api.log(attempt.job_id).final
    assert b"begun\nended\n" in api.log(attempt.job_id).data
    lone.start()
    assert await succeeded(starter, late, waiting)
    assert await asyncio.to_thread(lone.end) == 0


async def test_a_second_sigterm_ends_what_runs_and_sends_it_elsewhere(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    lone.start()
    attempt = repository.attempt("trap '' INT TERM; echo begun; while :; do sleep 0.1; done", pool=lone.pool)
    handle = await begin(starter, attempt)
    await eventually(lambda: b"begun" in api.log(attempt.job_id).data, "the step")
    lone.send(signal.SIGTERM)
    await asyncio.to_thread(lone.wait_for_log, "Draining")
    lone.send(signal.SIGTERM)
    result = await asyncio.wait_for(handle.result(), 60)
    assert (result.outcome, result.cause) == (Outcome.AGENT_LOST, "agent_stopped")
    assert await asyncio.to_thread(lone.running.wait, LAST_POLL_SECONDS) == 0
    assert api.log(attempt.job_id).final


async def test_two_agents_in_one_directory(agent: AgentProcess) -> None:
    await asyncio.to_thread(agent.wait_for_log, "works for pool")
    second = AgentProcess(agent.directory, agent.temporal, agent.url, agent.pool)
    second.start()
    assert await asyncio.to_thread(second.running.wait, 20) == 2
    assert agent.running.poll() is None


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"HYBRIDCI_API_KEY": ""}, "The agent has no key for the API"),
        ({"PATH": "/nowhere"}, "The agent needs git"),
        ({"HYBRIDCI_AGENT_DIR": "/proc/nowhere"}, "The agent cannot use its directory"),
    ],
)
def test_what_keeps_an_agent_from_working_is_one_sentence(
    lone: AgentProcess, environment: dict[str, str], sentence: str
) -> None:
    lone.environment = environment
    lone.start()
    assert lone.running.wait(20) == 2
    assert lone.log.read_text().startswith(sentence)
    assert len(lone.log.read_text().splitlines()) == 1


async def test_whom_nobody_tells_where_temporal_is_says_so_and_ends(lone: AgentProcess) -> None:
    lone.temporal = ""
    lone.start()
    assert await asyncio.to_thread(lone.running.wait, 20) == 2
    last = lone.log.read_text().splitlines()[-1]
    assert last.startswith("Nothing says where Temporal is: set TEMPORAL_ADDRESS")
    assert last.endswith("The API names no gateway to this agent either.")


@asynccontextmanager
async def own_temporal(folder: Path) -> AsyncGenerator[tuple[servers.Server, Client]]:
    """A Temporal server to be harmed, and a client whose workflows run on it."""
    with servers.running(servers.temporal_server(folder)) as server:
        client = await _client(server.address)
        async with Worker(client, task_queue=QUEUE, workflows=[OneAttempt]):
            yield server, client


async def _client(address: str) -> Client:
    """A port that accepts is not yet a server that answers."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await Client.connect(address, data_converter=pydantic_data_converter)
            except RuntimeError:
                await asyncio.sleep(0.1)


async def test_temporal_away(tmp_path: Path, api: ControlPlaneServer, repository: Repository) -> None:
    """One outage: what ends inside the lease is reported after it, what does not is dead before the lease's end."""
    async with own_temporal(tmp_path) as (server, client):
        agent = AgentProcess(tmp_path / "a", server.address, api.url, "away").start()
        try:
            beats, goes_on = tmp_path / "beats", tmp_path / "goes_on"
            stubborn = "trap '' INT TERM; echo begun; while :; do date +%s.%N >> {}; sleep 0.05; done"
            lease = 8
            short = repository.attempt("echo begun; sleep 3", pool="away")
            fenced = repository.attempt(stubborn.format(beats), pool="away", lease_seconds=lease)
            kept = repository.attempt(
                stubborn.format(goes_on), pool="away", lease_seconds=lease, on_partition=OnPartition.CONTINUE
            )
            handles = [await begin(client, attempt) for attempt in (short, fenced, kept)]
            for attempt in (short, fenced, kept):
                await eventually(lambda attempt=attempt: b"begun" in api.log(attempt.job_id).data, "the steps")
            server.kill()
            gone_at = time.time()
            await eventually(lambda: api.log(fenced.job_id).final, "the agent fencing itself", lease + 5)
            last_beat = float(beats.read_text().split()[-1])
            assert last_beat < gone_at + lease, "all dead before the lease ends"
            assert last_beat > gone_at + lease - 6, "but not much sooner: inside the lease nothing changes"
            await eventually(
                lambda: float(goes_on.read_text().split()[-1]) > gone_at + lease, "a beat of what chose to go on", 30
            )
            await asyncio.to_thread(server.start)
            result = await asyncio.wait_for(handles[0].result(), 60)
            assert result.outcome is Outcome.SUCCEEDED
            await give_up(handles[2])
            await eventually(lambda: api.log(kept.job_id).final, "the end of the attempt that was given up", 20)
            again = await asyncio.wait_for((await begin(client, repository.attempt("true", pool="away"))).result(), 60)
            assert again.outcome is Outcome.SUCCEEDED
            assert await asyncio.to_thread(agent.end) == 0
        finally:
            agent.ensure_dead()


async def give_up(handle: WorkflowHandle[Any, Any]) -> None:
    """It may hold its lease again, for a server can hear of it before its own timer fires, or have lost it by then."""
    try:
        await handle.terminate()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def test_ids_are_stable(lone: AgentProcess) -> None:
    for count in (1, 2):
        lone.start()
        await eventually(lambda count=count: len(at_work(lone)) == count, "the agent working")
        assert await asyncio.to_thread(lone.end) == 0
    first, second = at_work(lone)
    assert first.split("Agent ")[1] == second.split("Agent ")[1]
    assert f"{lone.pool}-" in first


def at_work(agent: AgentProcess) -> list[str]:
    return [line for line in agent.log.read_text().splitlines() if "works for pool" in line]
