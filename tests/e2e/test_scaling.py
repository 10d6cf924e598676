"""`hybridci up` scales its own agents: a pool with bounds gets more for what waits, and lets them go again."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Stack, repository
from tests.servers import http, wait_until

POOL = "/api/agents/pools/default/scale"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    yield stack
    stack.kill_everything()


def test_agents_come_for_what_waits_and_go_without_ending_what_runs(stack: Stack, tmp_path: Path) -> None:
    commit = repository(tmp_path / "repo")
    stack.start("--agents", "1", "--agent-capacity", "1", "--scale-down-seconds", "0")
    stack.wait_ready()
    go = tmp_path / "go"
    key = (stack.data / "admin.key").read_text().strip()
    with http(stack.url, key, seconds=30) as api:
        ids = [_submit(api, tmp_path, number, commit, until=go) for number in range(2)]
        wait_until(lambda: any(_runs(tmp_path)), seconds=60, what="the first job's start")
        assert api.post(POOL, json={"min_agents": 1, "max_agents": 2}).json()["bounded"] is True
        wait_until(lambda: all(_runs(tmp_path)), seconds=60, what="both jobs at once")
        assert {"agent-1", "agent-2"} <= stack.children().keys()
        assert api.post(POOL, json={"min_agents": 1, "max_agents": 1}).is_success
        wait_until(lambda: "to finish and end" in stack.text(), seconds=60, what="word of an agent that goes")
        go.touch()
        wait_until(lambda: len(_agents(stack)) == 1, seconds=60, what="the end of one agent")
        for job_id in ids:
            url = f"/api/dashboard/jobs/{job_id}"
            wait_until(lambda url=url: api.get(url).json()["status"] == "success", seconds=60, what="the job's success")
            assert len(api.get(url).json()["attempts"]) == 1
    assert stack.stop() == 0
    assert stack.processes() == []


def _submit(api: httpx.Client, folder: Path, number: int, commit: str, *, until: Path) -> str:
    command = f"touch {folder}/runs-{number}; until test -e {until}; do sleep 0.1; done"
    body = {
        "job_type": "test", "git_repo": (folder / "repo").as_uri(), "git_commit_sha": commit, "git_author": "ann",
        "steps": [{"name": "wait", "run": command}],
    }  # fmt: skip
    created = api.post("/api/dashboard/jobs", json=body)
    assert created.status_code == 201, created.text
    return str(created.json()["job_id"])


def _runs(folder: Path) -> list[bool]:
    return [(folder / f"runs-{number}").exists() for number in range(2)]


def _agents(stack: Stack) -> list[str]:
    return [name for name in stack.children() if name.startswith("agent-")]
