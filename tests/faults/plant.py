"""The embedded stack to be harmed, with its API at hand, and agents of the test's own beside it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.agent.agent_process import AgentProcess
from tests.e2e.stack import Stack, repository
from tests.servers import HOST, http, wait_until
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import QueueStatus

JOBS = "/api/dashboard/jobs"
_PATIENCE_SECONDS = 60


class Plant:
    """`hybridci up` on free ports. Each test works in a pool of its own, with agents from ``agent``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = Stack(folder)
        self.sha = repository(folder / "repo")
        self._agents: list[AgentProcess] = []

    def start(self, *options: str) -> None:
        self.stack.start(*options)
        self.stack.wait_ready()
        key = (self.stack.data / "admin.key").read_text().strip()
        self.http = http(self.stack.url, key, seconds=30)

    def close(self) -> None:
        self.http.close()
        for agent in self._agents:
            agent.ensure_dead()
        self.stack.kill_everything()

    @property
    def temporal_port(self) -> int:
        return self.stack.ports["--temporal-port"]

    @property
    def api_port(self) -> int:
        return self.stack.ports["--api-port"]

    def agent(
        self, name: str, pool: str, *, temporal_port: int | None = None, api_port: int | None = None, **environment: str
    ) -> AgentProcess:
        """An agent that works already; the ports are those of proxies when it must be cut off."""
        agent = AgentProcess(
            self.folder / name,
            f"{HOST}:{temporal_port or self.temporal_port}",
            f"http://{HOST}:{api_port or self.api_port}",
            pool,
            {"HYBRIDCI_API_KEY": (self.stack.data / "agent.key").read_text().strip(), **environment},
        )
        self._agents.append(agent.start())
        agent.wait_for_log(" works for pool ")
        return agent

    def submit(self, run: str, *, key: str | None = None, **fields: Any) -> str:
        """Submit a job of one step. With a key it is tried again until the API is there and takes it."""
        body = {
            "job_type": "fault", "git_repo": (self.folder / "repo").as_uri(), "git_commit_sha": self.sha,
            "git_author": "ann@example.com", "steps": [{"name": "step", "run": run}], **fields,
        }  # fmt: skip
        deadline = time.monotonic() + (_PATIENCE_SECONDS if key else 0)
        while True:
            try:
                answer = self.http.post(JOBS, json=body, headers={"Idempotency-Key": key} if key else {})
            except httpx.TransportError as error:
                why = repr(error)
            else:
                if answer.status_code in (200, 201, 202):
                    return str(answer.json()["job_id"])
                assert answer.status_code == 503, answer.text
                why = answer.text
            assert time.monotonic() < deadline, f"the job was not taken: {why}"
            time.sleep(0.1)

    def job(self, job_id: str) -> Job:
        answer = self.http.get(f"{JOBS}/{job_id}")
        assert answer.status_code == 200, answer.text
        return Job.model_validate_json(answer.content)

    def find(self, job_id: str) -> Job | None:
        """The record, when there is one."""
        answer = self.http.get(f"{JOBS}/{job_id}")
        return None if answer.status_code == 404 else Job.model_validate_json(answer.raise_for_status().content)

    def wait_running(self, job_id: str, *, seconds: float = 60) -> Job:
        wait_until(lambda: self._at(job_id, QueueStatus.RUNNING), seconds=seconds, what=f"the start of job {job_id}")
        return self.job(job_id)

    def wait_ended(self, job_ids: Sequence[str], *, seconds: float = 60) -> list[Job]:
        """The records once all are final or parked; while the API is away it is asked again."""
        open_ids = list(job_ids)

        def ended() -> bool:
            try:
                while open_ids and self.job(open_ids[0]).status.ended:
                    del open_ids[0]
            except (httpx.TransportError, AssertionError):
                return False
            return not open_ids

        wait_until(ended, seconds=seconds, what=f"the end of the jobs {open_ids}")
        return [self.job(job_id) for job_id in job_ids]

    def log(self, job_id: str, attempt: int = 1) -> bytes:
        answer = self.http.get(f"{JOBS}/{job_id}/logs", params={"attempt": attempt})
        assert answer.status_code == 200, answer.text
        return answer.content

    def whole_log(self, job_id: str, attempt: int = 1, *, seconds: float = 60) -> bytes:
        """The log once the API has all of it."""
        found: list[bytes] = []

        def complete() -> bool:
            answer = self.http.get(f"{JOBS}/{job_id}/logs", params={"attempt": attempt})
            found[:] = [answer.content]
            return answer.headers.get("Log-Complete") == "true"

        wait_until(complete, seconds=seconds, what=f"all of the log of job {job_id}")
        return found[0]

    def _at(self, job_id: str, status: QueueStatus) -> bool:
        return self.job(job_id).queue_status is status


def alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def numbers(file: Path) -> list[float]:
    """The whole lines of a file that commands append times to."""
    text = file.read_text() if file.exists() else ""
    return [float(line) for line in text.splitlines(keepends=True) if line.endswith("\n") and line.strip()]
