"""Steps that read a private repository through the agent, as the process that users run does it."""

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.agent.agent_process import AgentProcess
from tests.agent.helpers import eventually, result_of
from tests.control_plane_server import ControlPlaneServer
from tests.unit.private_git import PASSWORD, PrivateGit, knows_password, private_git
from tests.unit.repositories import Repository
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Step
from workflows.contracts.statuses import Outcome

LOOK = (
    "env; cat .git/config; ps -eo args= || true; git ls-remote origin; git fetch -q origin; git rev-parse origin/main"
)


@pytest.fixture
def shop(tmp_path: Path) -> Repository:
    (tmp_path / "served").mkdir()
    return Repository(tmp_path / "served" / "shop")


@pytest.fixture
def private(shop: Repository) -> Iterator[PrivateGit]:
    with private_git(shop.path.parent) as server:
        yield server


@pytest.fixture
def reader(lone: AgentProcess, private: PrivateGit, tmp_path: Path) -> AgentProcess:
    lone.environment |= {
        "HYBRIDCI_AGENT_GIT_PROTOCOLS": "http",
        "GIT_CONFIG_GLOBAL": str(knows_password(tmp_path / "agents.gitconfig", private.url)),
    }
    return lone


def job(agent: AgentProcess, private: PrivateGit, sha: str, *commands: str) -> AttemptInput:
    return AttemptInput(
        job_id=new_job_id(),
        attempt=1,
        job_type="test",
        pool=agent.pool,
        timeout_seconds=60,
        git_repo=f"{private.url}/shop/.git",
        git_commit_sha=sha,
        git_ref="main",
        steps=[Step(name=f"s{number}", run=command) for number, command in enumerate(commands)],
    )


async def test_a_step_fetches_what_is_new_and_never_sees_the_credential(
    reader: AgentProcess, private: PrivateGit, shop: Repository, starter: Client, api: ControlPlaneServer
) -> None:
    reader.environment["HYBRIDCI_AGENT_GIT_PROXY"] = "read"
    reader.start()
    sha = shop.commit(a="1")
    newer = shop.commit(b="2")
    attempt = job(reader, private, sha, LOOK, "git push origin HEAD:refs/heads/mine && exit 9 || true")
    result = await result_of(starter, attempt)
    log = api.log(attempt.job_id)
    await eventually(lambda: log.final, "the log")
    said = log.data.decode()
    assert result.outcome is Outcome.SUCCEEDED, said
    assert f"{newer}\trefs/heads/main" in said
    assert f"\n{newer}\n" in said
    assert PASSWORD not in said
    found = re.search(r"url\.http://127\.0\.0\.1:(\d+)/(\S+)/0\.insteadOf", said)
    assert found is not None, said
    assert found[2] == "***", "the word is masked"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", int(found[1])), 5):
        pass
    assert shop.git("branch", "--list", "mine") == ""


async def test_unless_the_operator_says_so_steps_have_their_own_credentials_only(
    reader: AgentProcess, private: PrivateGit, shop: Repository, starter: Client, api: ControlPlaneServer
) -> None:
    reader.start()
    attempt = job(reader, private, shop.commit(a="1"), "env | grep GIT_CONFIG && exit 9; git fetch origin")
    result = await result_of(starter, attempt)
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 128), api.log(attempt.job_id).data


async def test_killed_in_a_transfer_nothing_runs_on(
    reader: AgentProcess, private: PrivateGit, shop: Repository, starter: Client
) -> None:
    reader.environment["HYBRIDCI_AGENT_GIT_PROXY"] = "read"
    reader.start()
    sha = shop.commit(a="1")
    mark = shop.path.parent / "mark"
    command = f"touch {mark}; while [ -e {mark} ]; do sleep 0.02; done; git ls-remote origin"
    running = asyncio.create_task(result_of(starter, job(reader, private, sha, command)))
    await eventually(mark.exists, "the step")
    private.answering.clear()
    mark.unlink()
    await eventually(lambda: private.waiting > 0, "a request without an answer")
    children = [each for each in reader.ps.children(recursive=True) if "remote-http" in each.name()]
    assert children
    reader.running.kill()
    await eventually(lambda: not any(each.is_running() for each in children), "the end of git's helper")
    private.answering.set()
    running.cancel()
