"""`hybridci agents`, `pool` and `scaler` against the real API application over a real socket."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.commands import job
from api.cli.commands.fleet import agents, pool
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, AGENT_KEY, Served, environment, served, start
from tests.servers import wait_until

APPS = {"agents": agents.app, "pool": pool.app, "job": job.app}


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(api: Served, *arguments: str, key: str = ADMIN_KEY) -> Result:
    env: dict[str, str | None] = {**environment(api.url, key), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(APPS[arguments[0]], list(arguments[1:]), env=env)


def told(api: Served, *arguments: str) -> str:
    result = call(api, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def register(api: Served, agent_id: str, **changes: object) -> None:
    body: dict[str, Any] = {
        "agent_id": agent_id, "instance": f"word-{agent_id}", "pool": "linux", "capacity": 2, **changes,
    }  # fmt: skip
    with servers.http(api.url, AGENT_KEY) as client:
        answer = client.post("/api/agents", json=body)
        assert answer.status_code == 201
    with servers.http(api.url, answer.json()["token"]) as client:
        beat = {"sequence": 1, "running": ["j1"], "cpu_percent": 98.0, "memory_percent": 99.0}
        assert client.post(f"/api/agents/{agent_id}/heartbeat", json=beat).status_code == 200


def test_agents_are_listed_shown_and_told(api: Served) -> None:
    register(api, "show-1", labels={"os": "linux"}, hostname="build-host")
    register(api, "show-2")
    listed = told(api, "agents", "list", "--pool", "linux")
    assert listed.splitlines()[0].split() == [
        "AGENT", "POOL", "STATUS", "BUSY", "HEARD", "HOST", "VERSION", "LABELS", "WORDS",
    ]  # fmt: skip
    assert "show-1" in listed
    assert "memory 99 %" in listed
    shown = told(api, "agents", "show", "show-1")
    for words in ("DEGRADED", "memory 99 %", "1 of 2", "build-host", "os=linux", "hybridci agents drain show-1"):
        assert words in shown
    assert "paused for 600 s more: disk" in told(api, "agents", "pause", "show-1", "--for", "10m", "--note", "disk")
    assert json.loads(told(api, "agents", "show", "show-1", "--json"))["paused"] is True
    assert "takes jobs again" in told(api, "agents", "resume", "show-1")
    both = told(api, "agents", "drain", "show-1", "show-2", "--reason", "kernel")
    assert both.count("drains") >= 2
    draining = json.loads(told(api, "agents", "list", "--status", "draining", "--all", "--json"))
    assert [agent["agent_id"] for agent in draining] == ["show-1", "show-2"]
    assert "is deregistered" in told(api, "agents", "deregister", "show-2")


def test_the_beginning_of_an_id_is_enough(api: Served) -> None:
    register(api, "prefix-one")
    register(api, "prefix-two")
    assert "prefix-one" in told(api, "agents", "show", "prefix-o")
    ambiguous = call(api, "agents", "show", "prefix-")
    assert (ambiguous.exit_code, "2 agents (prefix-one, prefix-two)" in ambiguous.stderr) == (2, True)
    missing = call(api, "agents", "drain", "nobody")
    assert (missing.exit_code, "hybridci agents list" in missing.stderr) == (1, True)


def test_pools_are_listed_shown_and_scaled(api: Served) -> None:
    register(api, "pooled", pool="gpu")
    said = told(api, "pool", "scale", "gpu", "--min", "1", "--max", "4", "--wait", "45s")
    assert said == "gpu: 1 to 4 agents, now 1 desired\n"
    told(api, "pool", "scale", "gpu", "--slots", "8")
    kept = json.loads(told(api, "pool", "show", "gpu", "--json"))["bounds"]
    assert kept == {"min_agents": 1, "max_agents": 4, "target_wait_seconds": 45, "slots_per_agent": 8}
    assert "1 to 4" in told(api, "pool", "list")
    shown = told(api, "pool", "show", "gpu")
    for words in ("1 DEGRADED", "2: 1 busy, 1 free", "1 to 4", "45 s"):
        assert words in shown
    told(api, "pool", "scale", "unknown", "--min", "20")
    wrong = call(api, "pool", "scale", "gpu", "--min", "9", "--max", "3")
    assert (wrong.exit_code, "min_agents must not be above max_agents" in wrong.stderr) == (1, True)
    assert call(api, "pool", "show", "never").exit_code == 1


def test_a_waiting_job_says_why(api: Served, tmp_path: Path) -> None:
    job_id = api.submit(pool="nobody-here", requires=["gpu=*"])
    shown = told(api, "job", "show", job_id)
    assert "no agent of pool nobody-here is connected" in shown
    assert "gpu=*" in shown
    spec = {
        "job_type": "test", "git_repo": "https://example.com/r.git", "git_commit_sha": "b" * 40, "git_author": "bob",
        "steps": [{"name": "s", "run": "true"}], "pool": "nobody-here",
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(spec))
    result = call(api, "job", "submit", "-F", str(tmp_path / "job.json"), "--require", "os=linux", "--require", "!spot")
    assert "It waits: no agent of pool nobody-here is connected." in result.stderr
    assert api.job(result.stdout.strip()).requires == ["os=linux", "!spot"]


def test_the_scaler_tells_a_command_until_it_is_stopped(api: Served, tmp_path: Path) -> None:
    told(api, "pool", "scale", "cloud", "--min", "2", "--max", "5")
    found = tmp_path / "found"
    command = f'echo "$HYBRIDCI_POOL $HYBRIDCI_DESIRED_AGENTS" >> {found}'
    process = start(api.url, "scaler", "--pool", "cloud", "--command", command, "--interval", "0.2", "--cooldown", "0")
    try:
        wait_until(lambda: found.exists() and found.read_text() == "cloud 2\n", seconds=60, what="the first call")
        told(api, "pool", "scale", "cloud", "--min", "3")
        wait_until(lambda: found.read_text() == "cloud 2\ncloud 3\n", seconds=60, what="the second call")
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert b"cloud: 3 agents wanted, 0 there" in errors


def test_a_scaler_that_cannot_work_says_so(api: Served) -> None:
    for arguments, code, words in (
        (("--pool", "cloud"), 2, b"either --command or --webhook"),
        (("--pool", "never-heard-of", "--command", "true", "--once"), 1, b"There is no pool never-heard-of"),
        (("--pool", "cloud", "--command", "exit 7", "--once"), 1, b"exit code 7"),
    ):
        process = start(api.url, "scaler", *arguments)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, words in errors) == (code, True), errors
