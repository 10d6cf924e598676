"""An agent that stands still: its jobs end before their leases do, and it goes on working when it wakes."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from tests.agent.agent_process import AgentProcess, Repository
from tests.agent.helpers import begin, eventually, result_of
from tests.control_plane_server import ControlPlaneServer
from tests.unit.processes import alive, pid_in
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.statuses import OnPartition, Outcome

LEASE = 10
"""Long enough that a machine that stands still for a moment does not look like a server that is away."""
HANG = "echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.05; done"


async def renewed_at(handle: WorkflowHandle[Any, AttemptResult]) -> float:
    """When the server heard of the attempt last, in epoch seconds."""
    (attempt,) = (await handle.describe()).raw_description.pending_activities
    times = (attempt.last_started_time, attempt.last_heartbeat_time)
    return max(at.ToNanoseconds() for at in times) / 1e9


async def test_what_a_stopped_agent_runs_ends_before_the_lease_and_the_agent_goes_on(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository, tmp_path: Path
) -> None:
    lone.start()
    deaf, going_on = tmp_path / "deaf", tmp_path / "going-on"
    stopping = repository.attempt(f"trap '' INT TERM; {HANG.format(deaf)}", pool=lone.pool, lease_seconds=LEASE)
    continuing = repository.attempt(
        HANG.format(going_on), pool=lone.pool, lease_seconds=LEASE, on_partition=OnPartition.CONTINUE
    )
    handles = [await begin(starter, attempt) for attempt in (stopping, continuing)]
    await eventually(lambda: deaf.exists() and going_on.exists(), "both commands")
    lone.send(signal.SIGSTOP)
    last = await renewed_at(handles[0])
    await eventually(lambda: not alive(pid_in(deaf)), "the end of the command", LEASE)
    assert time.time() - last > LEASE - 3, "inside the lease nothing changes"
    for handle in handles:
        with pytest.raises(WorkflowFailureError):  # the server has given the attempts up
            await asyncio.wait_for(handle.result(), 60)
    assert alive(pid_in(going_on)), "its job chose to go on"
    lone.send(signal.SIGCONT)
    await eventually(lambda: not alive(pid_in(going_on)), "the end of what is not wanted any more", 15)
    result = await result_of(starter, repository.attempt("true", pool=lone.pool))
    assert result.outcome is Outcome.SUCCEEDED
    await eventually(lambda: api.log(stopping.job_id).final, "the log")
    assert b"could not renew the attempt's lease" in api.log(stopping.job_id).data
    assert await asyncio.to_thread(lone.end) == 0, lone.log.read_text()


async def test_an_agent_that_wakes_in_time_does_not_blame_the_command(
    lone: AgentProcess, starter: Client, repository: Repository, tmp_path: Path
) -> None:
    """The guardian's SIGTERM must not look like a failing command, nor like a success."""
    lone.start()
    attempt = repository.attempt(
        f"trap 'exit 0' TERM; {HANG.format(tmp_path / 'pid')}", "true", pool=lone.pool, lease_seconds=LEASE
    )
    handle = await begin(starter, attempt)
    await eventually((tmp_path / "pid").exists, "the command")
    lone.send(signal.SIGSTOP)
    await eventually(lambda: not alive(pid_in(tmp_path / "pid")), "the end of the command", LEASE)
    lone.send(signal.SIGCONT)
    result = await asyncio.wait_for(handle.result(), 60)
    assert (result.outcome, result.cause) == (Outcome.AGENT_LOST, "lease_lost")
    assert [step.outcome for step in result.steps] == [Outcome.AGENT_LOST, None]
