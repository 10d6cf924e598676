"""Secrets on the agent's process: used by real commands, and found nowhere but in its and their memory."""

import asyncio
import base64
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from api.cli.keys.sealing import new_pool_key, seal
from tests import servers
from tests.agent.agent_process import AgentProcess, Repository
from tests.agent.helpers import SECRETS, begin, eventually, result_of, with_secrets
from tests.control_plane_server import ControlPlaneServer
from tests.files import contents
from workflows.contracts.statuses import Outcome

SEALED = "sealed-with-the-pools-key-4711"


@pytest.fixture(scope="module")
def keeper(
    tmp_path_factory: pytest.TempPathFactory, temporal_server: servers.Server, api: ControlPlaneServer
) -> Iterator[AgentProcess]:
    """An agent with secrets and a pool key."""
    folder = tmp_path_factory.mktemp("keeper")
    private, public = new_pool_key()
    (folder / "pool.keys").write_text(base64.b64encode(private).decode())
    (folder / "pool.keys").chmod(0o600)
    (folder / "pool.public").write_text(public)
    environment = {**with_secrets(folder), "HYBRIDCI_POOL_KEYS_FILE": str(folder / "pool.keys")}
    agent = AgentProcess(folder / "a", temporal_server.address, api.url, "keeper", environment).start()
    yield agent
    try:
        assert agent.end() == 0, agent.log.read_text()
    finally:
        agent.ensure_dead()


def sealed_env(agent: AgentProcess) -> dict[str, str]:
    public = (agent.directory.parent / "pool.public").read_text()
    return {"SEALED": seal(public, name="SEALED", value=SEALED, repository=None)}


def on_disk(agent: AgentProcess) -> bytes:
    return agent.log.read_bytes() + b"".join(content for _, content in contents(agent.directory))


def leaked(content: bytes) -> list[str]:
    values = {**SECRETS, "SEALED": SEALED}
    return [name for name, value in values.items() if value.encode() in content]


async def test_secrets_are_used_and_leave_no_trace(
    keeper: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    attempt = repository.attempt(
        "printenv S0 S19 SEALED; echo $S1-$S2 >&2; env | base64; exit 4", "true", pool="keeper", secrets=list(SECRETS),
        env=sealed_env(keeper), artifacts=["hello.*"],
    )  # fmt: skip
    result = await result_of(starter, attempt)
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 4), result
    await eventually(lambda: api.log(attempt.job_id).final, "the log")
    log = api.log(attempt.job_id).data
    assert b"--- s0\n***\n***\n***\n***-***\n" in log
    assert log.count(b"***") >= 5 + len(SECRETS) + 1, "base64 that goes on over its lines"
    assert leaked(log + on_disk(keeper) + result.model_dump_json().encode()) == []


async def test_an_agent_that_is_killed_leaves_nothing_of_a_secret(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository, tmp_path: Path
) -> None:
    lone.environment.update(with_secrets(tmp_path))
    (tmp_path / "secrets.yml").write_text("S0: {env: VALUE_S0, as: file}\nS1: {env: VALUE_S1}\n")
    lone.start()
    attempt = repository.attempt(
        "cat $S0; echo; echo $S1; printf ${S1:0:20}; sleep 60", pool=lone.pool, secrets=["S0", "S1"]
    )
    handle = await begin(starter, attempt)
    await eventually(lambda: b"***\n***\n" in api.log(attempt.job_id).data, "the output")
    lone.send(signal.SIGKILL)
    await asyncio.to_thread(lone.running.wait, 10)
    content = await asyncio.to_thread(on_disk, lone)
    assert leaked(content + api.log(attempt.job_id).data) == []
    assert SECRETS["S1"][:20].encode() not in content, "what was held back is gone with the agent"
    await handle.terminate()


def test_an_agent_does_not_start_on_approvers_it_cannot_use(lone: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "approvers.yml").write_text("[{}]")
    lone.environment["HYBRIDCI_APPROVERS_FILE"] = str(tmp_path / "approvers.yml")
    assert lone.start().running.wait(20) == 2
    said = lone.log.read_text()
    assert "approvers.yml (HYBRIDCI_APPROVERS_FILE) cannot be used: 0.service: is needed" in said
    assert "Traceback" not in said
