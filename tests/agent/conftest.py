"""An agent process, the API's stand-in and a repository for the agent's tests."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from tests import servers
from tests.agent.agent_process import AgentProcess, OneAttempt, Repository
from tests.agent.helpers import QUEUE, with_secrets
from tests.control_plane_server import ControlPlaneServer


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository") / "shop").create()


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[ControlPlaneServer]:
    async with ControlPlaneServer() as server:
        yield server


@pytest.fixture(scope="module")
async def starter(temporal_client: Client) -> AsyncIterator[Client]:
    """A client whose workflows run."""
    async with Worker(temporal_client, task_queue=QUEUE, workflows=[OneAttempt]):
        yield temporal_client


@pytest.fixture(scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, temporal_server: servers.Server, api: ControlPlaneServer
) -> AsyncIterator[AgentProcess]:
    """One agent for the tests that need nothing of their own."""
    folder = tmp_path_factory.mktemp("agent")
    agent = AgentProcess(folder / "a", temporal_server.address, api.url, "shared", with_secrets(folder)).start()
    yield agent
    try:
        assert await asyncio.to_thread(agent.end) == 0, agent.log.read_text()
    finally:
        agent.ensure_dead()


@pytest.fixture
def lone(tmp_path: Path, temporal_server: servers.Server, api: ControlPlaneServer) -> Iterator[AgentProcess]:
    """An agent in a pool of its own, to be harmed."""
    agent = AgentProcess(tmp_path / "a", temporal_server.address, api.url, f"pool{time.monotonic_ns()}")
    yield agent
    agent.ensure_dead()
