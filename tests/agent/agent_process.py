"""An agent as the process that users run, against a real Temporal server, with a git repository for its jobs."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from temporalio import workflow
from temporalio.common import RetryPolicy

from api.cli.stack.launching import launch
from tests.control_plane_server import KEY
from tests.servers import OWN_CODE, wait_until

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import run_attempt
    from workflows.contracts.attempts import AttemptInput, AttemptResult
    from workflows.contracts.ids import new_job_id, pool_queue
    from workflows.contracts.jobs import Step

LAST_POLL_SECONDS = 90.0
"""In which an agent that drains has ended: its last poll is answered by then, whenever it went out
(``agent.queues.pollers``).
"""
_COMMAND = [sys.executable, "-P", "-m", "api.cli.processes", "agent"]


@workflow.defn(sandboxed=False)
class OneAttempt:
    """Just the activity, scheduled as ``JobWorkflow`` does it."""

    @workflow.run
    async def run(self, attempt: AttemptInput) -> AttemptResult:
        return await workflow.execute_activity(
            run_attempt,
            attempt,
            task_queue=pool_queue(attempt.pool, attempt.requires),
            start_to_close_timeout=timedelta(seconds=attempt.timeout_seconds + 120),
            heartbeat_timeout=timedelta(seconds=attempt.lease_seconds),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )


@dataclass
class Repository:
    """A git repository with one commit."""

    path: Path
    sha: str = ""

    def create(self) -> "Repository":
        self.path.mkdir()
        (self.path / "hello.txt").write_text("hello\n")
        self._git("init", "-q", "-b", "main")
        self._git("add", ".")
        self._git("commit", "-q", "-m", "first")
        self.sha = self._git("rev-parse", "HEAD")
        return self

    def _git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
        done = subprocess.run(["git", *identity, *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def attempt(self, *commands: str, pool: str, **fields: Any) -> AttemptInput:
        """Steps ``s0``, ``s1``, … of these commands."""
        steps = [Step(name=f"s{number}", run=command) for number, command in enumerate(commands)]
        values: dict[str, Any] = {
            "job_id": new_job_id(), "attempt": 1, "job_type": "test", "pool": pool, "timeout_seconds": 60,
            "git_repo": f"file://{self.path}", "git_commit_sha": self.sha, "steps": steps,
        }  # fmt: skip
        return AttemptInput(**{**values, **fields})


@dataclass
class AgentProcess:
    """Started and ended by the test; its log is in ``log``."""

    directory: Path
    temporal: str
    url: str
    pool: str
    environment: dict[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.directory.with_suffix(".stderr")

    def start(self) -> "AgentProcess":
        environment = {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"),
            "TEMPORAL_ADDRESS": self.temporal, "HYBRIDCI_URL": self.url, "HYBRIDCI_API_KEY": KEY,
            "HYBRIDCI_AGENT_POOL": self.pool, "HYBRIDCI_AGENT_DIR": str(self.directory), **OWN_CODE,
            **self.environment,
        }  # fmt: skip
        self.process = launch(_COMMAND, self.log, env=environment)
        return self

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    @property
    def ps(self) -> psutil.Process:
        return psutil.Process(self.running.pid)

    def send(self, number: signal.Signals) -> None:
        self.running.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = LAST_POLL_SECONDS) -> int:
        """Signal it and wait: its exit code."""
        if self.running.poll() is None:
            self.send(number)
        return self.running.wait(seconds)

    def wait_for_log(self, text: str, *, seconds: float = 60) -> None:
        wait_until(lambda: text in self.log.read_text(), seconds=seconds, what=f"{text!r} in the agent's log")

    def ensure_dead(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
