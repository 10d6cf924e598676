"""`hybridci api`, `worker` and `agent` as separate processes with nothing but environment variables, as in production.

Temporal and the AWS APIs are this module's own; the Temporal namespace, tables and bucket are not the default ones.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.cli.stack import embedded
from api.cli.stack.launching import launch
from tests import servers
from tests.e2e.stack import HYBRIDCI, repository, run
from tests.servers import HOST, OWN_CODE, free_port, wait_until

NAMESPACE = "production-like"
ADMIN_KEY, AGENT_KEY = "admin-" + "a" * 40, "agent-" + "b" * 40
READY = {"worker": "control worker ready", "agent": " works for pool "}
ENDED = ("success", "failed", "dead_lettered", "error", "timeout", "cancelled")


@dataclass(frozen=True)
class Surroundings:
    """What the processes are told, each by its own variables."""

    folder: Path
    url: str
    environments: Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    folder = tmp_path_factory.mktemp("processes")
    with (
        servers.running(servers.temporal_server(folder)) as temporal,
        servers.running(servers.aws_server(folder)) as aws,
    ):
        create = [embedded.binary("temporal", ""), "operator", "namespace", "create", "-n", NAMESPACE]
        subprocess.run([*create, "--address", temporal.address], check=True, capture_output=True)
        port = free_port()
        (folder / "admin.key").write_text(ADMIN_KEY + "\n")
        connection = {"TEMPORAL_ADDRESS": temporal.address, "TEMPORAL_NAMESPACE": NAMESPACE}
        endpoint = f"http://{aws.address}"
        stores = {
            "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "DYNAMODB_ENDPOINT_URL": endpoint, "S3_ENDPOINT_URL": endpoint, "S3_BUCKET": "our-own-logs",
            "DYNAMODB_TABLE_JOBS": "our-jobs", "DYNAMODB_TABLE_STATISTICS": "our-numbers", "ENVIRONMENT": "e2e",
        }  # fmt: skip
        api = {
            "HYBRIDCI_PORT": str(port), "HYBRIDCI_ADMIN_KEY_FILE": str(folder / "admin.key"),
            "HYBRIDCI_AGENT_KEY": AGENT_KEY,
        }  # fmt: skip
        agent = {
            "HYBRIDCI_URL": f"http://{HOST}:{port}", "HYBRIDCI_API_KEY": AGENT_KEY,
            "HYBRIDCI_AGENT_DIR": str(folder / "agent"),
        }  # fmt: skip
        yield Surroundings(
            folder,
            f"http://{HOST}:{port}",
            {
                "api": {**connection, **stores, **api},
                "worker": {**connection, **stores},
                "agent": {**connection, **agent},
            },
        )


@pytest.fixture
def processes(surroundings: Surroundings) -> Iterator["Processes"]:
    processes = Processes(surroundings)
    yield processes
    processes.kill()


class Processes:
    """The three processes of one run."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *options: str) -> None:
        folder, log = self._surroundings.folder, self.log(name)
        log.write_bytes(b"")
        own = {"PATH": os.environ["PATH"], "HOME": str(folder), **OWN_CODE, **self.environment(name)}
        self._running[name] = launch([*HYBRIDCI, name, *options], log, env=own, cwd=folder)

    def environment(self, name: str) -> Mapping[str, str]:
        return self._surroundings.environments[name]

    def wait_ready(self, name: str) -> None:
        wait_until(lambda: self._ended(name) or self._ready(name), seconds=40, what=f"{name} ready")
        assert not self._ended(name), self.log(name).read_text()

    def stop(self, number: signal.Signals, *names: str) -> dict[str, int]:
        """Signal them all at once; their exit codes."""
        stopping = {name: self._running.pop(name) for name in names}
        for process in stopping.values():
            process.send_signal(number)
        return {name: process.wait(20) for name, process in stopping.items()}

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def log(self, name: str) -> Path:
        return self._surroundings.folder / f"{name}.log"

    def kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait(10)

    def _ended(self, name: str) -> bool:
        return self._running[name].poll() is not None

    def _ready(self, name: str) -> bool:
        if name in READY:
            return READY[name] in self.log(name).read_text()
        return servers.answers_ok(f"{self._surroundings.url}/health/ready")


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
        wait_until(lambda: client.get(address).json()["status"] in ENDED, seconds=30, what="the job's end")
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
        wait_until(lambda name=name: _catches_sigterm(processes.pid(name)), seconds=20, what="its first signal handler")
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
    done = run([name], env={"PATH": os.environ["PATH"], **processes.environment(name), **wrong})
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == len(wrong)
    for variable in wrong:
        assert any(line.startswith(f"hybridci: {variable} is wrong: ") for line in lines), lines


@pytest.mark.parametrize("name", ["api", "worker"])
def test_who_does_not_say_where_temporal_is_is_told_at_once(processes: Processes, name: str) -> None:
    done = run([name], env={"PATH": os.environ["PATH"], **processes.environment(name), "TEMPORAL_ADDRESS": ""})
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("hybridci: ")
    assert "TEMPORAL_" in line


def test_options_of_the_command_line_win(processes: Processes) -> None:
    environment = {**processes.environment("agent"), "HYBRIDCI_AGENT_POOL": "fine"}
    done = run(["agent", "--pool", "Not A Name"], env={"PATH": os.environ["PATH"], **environment})
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
