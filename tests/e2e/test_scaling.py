"""`hybridci up` scales its own agents: a pool with bounds gets more for what waits, and lets them go again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack, repository
from tests.servers import wait_until


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    yield stack
    stack.kill_everything()


def test_agents_come_for_what_waits_and_go_without_ending_what_runs(stack: Stack, tmp_path: Path) -> None:
    repository(tmp_path / "repo")
    stack.start("--agents", "1", "--agent-capacity", "1", "--scale-down-seconds", "0")
    stack.wait_ready()
    go, ids = tmp_path / "go", list[str]()
    for number in range(2):
        command = f"touch {tmp_path}/runs-{number}; until test -e {go}; do sleep 0.1; done"
        ids.append(_told(stack, "job", "submit", "--repo", str(tmp_path / "repo"), "--run", command)["job_id"])
    wait_until(lambda: any(_runs(tmp_path)), seconds=20, what="the first job's start")
    assert _told(stack, "pool", "scale", "default", "--min", "1", "--max", "2")["bounded"] is True
    wait_until(lambda: all(_runs(tmp_path)), seconds=30, what="both jobs at once")
    assert {"agent-1", "agent-2"} <= stack.children().keys()
    _told(stack, "pool", "scale", "default", "--max", "1")
    wait_until(lambda: "to finish and end" in stack.text(), seconds=20, what="word of an agent that goes")
    go.touch()
    wait_until(lambda: len(_agents(stack)) == 1, seconds=20, what="the end of the second agent")
    for job_id in ids:
        job = _told(stack, "job", "show", job_id)
        assert (job["status"], len(job["attempts"])) == ("success", 1)
    assert stack.stop() == 0
    assert stack.processes() == []


def _runs(folder: Path) -> list[bool]:
    return [(folder / f"runs-{number}").exists() for number in range(2)]


def _agents(stack: Stack) -> list[str]:
    return [name for name in stack.children() if name.startswith("agent-")]


def _told(stack: Stack, *arguments: str) -> Any:
    done = stack.cli(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
