"""`hybridci api`, `worker` and `agent` as separate processes with nothing but environment variables, as in production.

Temporal and the AWS APIs are this module's own; the Temporal namespace, tables and bucket are not the default ones.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.e2e.separate import ADMIN_KEY, Processes, Surroundings, surrounded
from tests.e2e.stack import repository, run
from tests.servers import OWN_CODE, wait_until

ENDED = ("success", "failed", "dead_lettered", "error", "timeout", "cancelled")


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    with surrounded(tmp_path_factory.mktemp("processes")) as found:
        yield found


@pytest.fixture
def processes(surroundings: Surroundings) -> Iterator[Processes]:
    processes = Processes(surroundings)
    yield processes
    processes.kill()


def test_a_job_runs_through_separate_processes(processes: Processes, surroundings: Surroundings) -> None:
    for name, options in (("agent", ["--pool", "linux", "--capacity", "2"]), ("api", []), ("worker", [])):
        processes.start(name, *options)  # in the worst order: each waits for what it needs
    for name in ("worker", "api", "agent"):
        processes.wait_ready(name)
    repo = surroundings.folder / "repo"
    sha = repository(repo)
    with servers.http(surroundings.url, ADMIN_KEY) as client:
        created = client.post(
            "/api/dashboard/jobs",
            json={
                "job_type": "test", "git_repo": repo.as_uri(), "git_commit_sha": sha, "git_author": "ann@example.com",
                "pool": "linux", "steps": [{"name": "greet", "run": "cat hello.txt; echo of $CI"}],
            },
        )  # fmt: skip
        assert created.status_code == 201, created.text
        address = f"/api/dashboard/jobs/{created.json()['job_id']}"
        wait_until(lambda: client.get(address).json()["status"] in ENDED, seconds=60, what="the job's end")
        job: dict[str, Any] = client.get(address).json()
        assert (job["status"], job["exit_code"]) == ("success", 0), job
        wait_until(
            lambda: client.get(f"{address}/logs").headers["Log-Complete"] == "true", seconds=20, what="the whole log"
        )
        assert "hello\nof true\n" in client.get(f"{address}/logs").text
        assert job["agent_id"].startswith("linux-")
    assert processes.stop(signal.SIGTERM, "agent", "api", "worker") == {"agent": 0, "api": 0, "worker": 0}


def test_each_starts_and_stops_cleanly_again_and_again(processes: Processes) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        for name in ("worker", "api", "agent"):
            processes.start(name)
        for name in ("worker", "api", "agent"):
            processes.wait_ready(name)
        codes = processes.stop(number, "agent", "api", "worker")
        assert codes == {"agent": 0, "api": 0, "worker": 0}
        for name in codes:
            assert "Traceback" not in processes.log(name).read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sees in /proc when a signal handler is there")
def test_each_can_be_stopped_while_it_loads(processes: Processes) -> None:
    for name in ("worker", "api", "agent"):
        processes.start(name)
        wait_until(lambda name=name: _catches_sigterm(processes.pid(name)), seconds=60, what="its first signal handler")
        assert processes.stop(signal.SIGTERM, name) == {name: 0}
        assert processes.log(name).read_text() == ""


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("api", {"HYBRIDCI_PORT": "many"}),
        ("agent", {"HYBRIDCI_AGENT_CAPACITY": "0", "HYBRIDCI_URL": "ftp://nowhere"}),
        ("worker", {"LOG_LEVEL": "LOUD", "HYBRIDCI_WORKER_ACTIVITIES": "-1"}),
    ],
)
def test_every_wrong_variable_is_named(processes: Processes, name: str, wrong: dict[str, str]) -> None:
    done = run([name], env={"PATH": os.environ["PATH"], **OWN_CODE, **processes.environment(name), **wrong})
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == len(wrong)
    for variable in wrong:
        assert any(line.startswith(f"hybridci: {variable} is wrong: ") for line in lines), lines


@pytest.mark.parametrize("name", ["api", "worker"])
def test_who_does_not_say_where_temporal_is_is_told_at_once(processes: Processes, name: str) -> None:
    done = run(
        [name], env={"PATH": os.environ["PATH"], **OWN_CODE, **processes.environment(name), "TEMPORAL_ADDRESS": ""}
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("hybridci: ")
    assert "TEMPORAL_" in line


def test_options_of_the_command_line_win(processes: Processes) -> None:
    environment = {**processes.environment("agent"), "HYBRIDCI_AGENT_POOL": "fine"}
    done = run(["agent", "--pool", "Not A Name"], env={"PATH": os.environ["PATH"], **OWN_CODE, **environment})
    assert done.returncode == 2
    assert "HYBRIDCI_AGENT_POOL is wrong" in done.stderr


def test_version_is_told() -> None:
    done = run(["--version"])
    assert done.returncode == 0
    assert done.stdout.startswith("hybridci ")


def _catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
