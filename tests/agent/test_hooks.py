"""An agent with its operator's hooks, as the process that users run: steps are another user, hooks are the agent's."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.agent.agent_process import AgentProcess, Repository
from tests.agent.helpers import begin, eventually, result_of
from tests.control_plane_server import ControlPlaneServer
from tests.unit.processes import alive, pid_in
from workflows.contracts.statuses import Outcome

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may run steps as another user")
NOBODY = "nobody"


@pytest.fixture
def hooked(lone: AgentProcess) -> Iterator[AgentProcess]:
    """Hooks in ``hooks`` beside the agent's folder, in a place that the steps' user can get to."""
    folder = Path(tempfile.mkdtemp(prefix="hybridci-hooks-", dir="/var/tmp"))
    folder.chmod(0o755)
    lone.directory = folder / "a"
    (folder / "hooks").mkdir(mode=0o755)
    lone.environment |= {"HYBRIDCI_AGENT_JOB_USER": NOBODY, "HYBRIDCI_AGENT_HOOKS": str(folder / "hooks")}
    yield lone
    lone.ensure_dead()
    shutil.rmtree(folder, ignore_errors=True)


def add(agent: AgentProcess, name: str, script: str) -> None:
    path = agent.directory.parent / "hooks" / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


async def started(agent: AgentProcess) -> None:
    agent.start()
    await asyncio.to_thread(agent.wait_for_log, " works for pool ")


async def test_hooks_are_the_agents_and_steps_are_not(
    hooked: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    add(hooked, "before-step", "id -un; pwd")
    await started(hooked)
    hooks = hooked.directory.parent / "hooks"
    attempt = repository.attempt(f"id -un; echo x >> {hooks}/before-step || echo refused", pool=hooked.pool)
    result = await result_of(starter, attempt)
    assert result.outcome is Outcome.SUCCEEDED, result
    log = api.log(attempt.job_id)
    await eventually(lambda: log.final, "the log")
    assert b"[hook before-step] root\n[hook before-step] /" in log.data
    assert b"nobody\n" in log.data
    assert b"refused\n" in log.data


async def test_an_agent_killed_in_a_hook_leaves_nothing_running(
    hooked: AgentProcess, starter: Client, repository: Repository
) -> None:
    told = hooked.directory.parent / "pid"
    add(hooked, "before-checkout", f"sleep 1000 & echo $! > {told}.new; mv {told}.new {told}; wait")
    await started(hooked)
    await begin(starter, repository.attempt("true", pool=hooked.pool))
    await eventually(told.exists, "the hook")
    assert alive(pid_in(told))
    hooked.running.kill()
    await eventually(lambda: not alive(pid_in(told)), "the end of what the hook started")


def test_it_does_not_start_with_hooks_that_steps_could_write(hooked: AgentProcess) -> None:
    (hooked.directory.parent / "hooks").chmod(0o777)
    assert hooked.start().running.wait(30) == 2
    assert "so a step could change the agent's hooks" in hooked.log.read_text()


def test_it_does_not_start_with_hooks_and_steps_of_root(hooked: AgentProcess) -> None:
    del hooked.environment["HYBRIDCI_AGENT_JOB_USER"]
    assert hooked.start().running.wait(30) == 2
    assert "steps run as root" in hooked.log.read_text()
