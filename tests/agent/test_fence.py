"""A real agent knows the newest turn also after kill -9."""

import asyncio
import signal

from temporalio.client import Client

from tests.agent.agent_process import AgentProcess, Repository
from tests.agent.helpers import eventually, result_of
from tests.control_plane_server import ControlPlaneServer
from workflows.contracts.jobs import Fence
from workflows.contracts.statuses import Outcome


async def test_an_agent_killed_and_started_again_refuses_an_older_turn(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    lone.start()
    newer, older = (
        repository.attempt(
            'echo "$HYBRIDCI_FENCE_NAME $HYBRIDCI_FENCE"', pool=lone.pool, fence=Fence(name="a/b", number=number)
        )
        for number in (8, 7)
    )
    assert (await result_of(starter, newer)).outcome is Outcome.SUCCEEDED
    await eventually(lambda: api.log(newer.job_id).final, "the log")
    assert b"a/b 8\n" in api.log(newer.job_id).data
    await asyncio.to_thread(lone.end, signal.SIGKILL)
    lone.start()
    result = await result_of(starter, older)
    assert (result.outcome, result.cause, result.retryable) == (Outcome.AGENT_ERROR, "fenced", False)
    await eventually(lambda: api.log(older.job_id).final, "the log")
    assert b"Check out" not in api.log(older.job_id).data
