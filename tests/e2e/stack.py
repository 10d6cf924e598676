"""`hybridci up` as people run it: a process of its own on free ports, with its output and its children at hand."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from api.cli.stack.child_stack import HYBRIDCI, says_ready
from api.cli.stack.launching import launch
from tests.servers import HOST, answers_ok, free_port, http, wait_until

PORTS = ("--api-port", "--temporal-port", "--ui-port", "--aws-port", "--gateway-port")


class Stack:
    """One data directory and its ports; ``up`` may be started on it again and again."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.output = folder / "up.out"
        self.ports = {option: free_port() for option in PORTS}
        self.url = f"http://{HOST}:{self.ports['--api-port']}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *more: str) -> list[str]:
        ports = [word for option, port in self.ports.items() for word in (option, str(port))]
        return [*HYBRIDCI, "up", "--data-dir", str(self.data), *ports, *more]

    def start(self, *more: str) -> None:
        """Start `up`; its output begins anew."""
        self.output.write_bytes(b"")
        self._process = launch(self.command(*more), self.output)

    def wait_ready(self) -> float:
        """Return the seconds that `up` says it took."""
        wait_until(lambda: self._ended() or says_ready(self.output), seconds=60, what="ready")
        found = re.search(r"is ready after ([\d.]+) s", self.text())
        assert found is not None, self.text()
        return float(found[1])

    def text(self) -> str:
        return self.output.read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def exit_code(self, seconds: float = 60) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.exit_code()

    def children(self) -> dict[str, int]:
        """Name → pid as `up` has them on record."""
        content: Any = json.loads((self.data / "processes.json").read_text())
        return {child["name"]: child["pid"] for child in content["children"]}

    def ready(self) -> bool:
        return answers_ok(f"{self.url}/health/ready")

    def http(self) -> httpx.Client:
        """A client of the API with the admin's key: what is asked again and again takes no process each time."""
        key = (self.data / "admin.key").read_text().strip()
        return http(self.url, key, seconds=30)

    def wait_for_status(self, job_id: str, status: str, *, seconds: float = 60) -> None:
        with self.http() as api:
            wait_until(
                lambda: api.get(f"/api/dashboard/jobs/{job_id}").json()["status"] == status,
                seconds=seconds, what=f"{job_id} being {status}",
            )  # fmt: skip

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the client, with this stack's data directory."""
        return run([*arguments, "--data-dir", str(self.data)])

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to this stack, whoever its parent is now."""
        return [process for process in psutil.process_iter() if _belongs(process, str(self.data))]

    def kill_everything(self) -> None:
        """kill -9 of the whole tree at once; also the tests' own clean-up."""
        wait_until(lambda: not self._kill_processes(), seconds=60, what="the end of all processes")
        if self._process is not None:
            self._process.wait(10)

    def _kill_processes(self) -> list[psutil.Process]:
        """Those that were there: one may have ended just now, and another one may have been started."""
        found = self.processes()
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return found

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None


def run(arguments: list[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `hybridci` to its end."""
    return subprocess.run(
        [*HYBRIDCI, *arguments], capture_output=True, text=True, timeout=60, env=None if env is None else dict(env)
    )


def repository(path: Path) -> str:
    """A git repository with one commit, whose id is returned."""
    path.mkdir()
    (path / "hello.txt").write_text("hello\n")
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", "-C", str(path), *words], check=True)
    found = subprocess.run(["git", "-C", str(path), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def _belongs(process: psutil.Process, folder: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        places = [*process.cmdline(), process.cwd()]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return any(place == folder or place.startswith(f"{folder}/") for place in places)
