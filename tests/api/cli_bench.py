"""The real API application on memory stores behind a real socket, a line that can be cut, and the command line."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from activities.stores.interfaces.logs import LogChunk
from activities.stores.open import Stores
from tests import servers
from tests.api.conftest import ADMIN_KEY, AGENT_KEY, SPEC, memory_app
from tests.api.fakes import FakeJobClient
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus

T = TypeVar("T")


class Served:
    """The application, and the hands of workflow and agent."""

    def __init__(self) -> None:
        self.app, stores, job_client, stop = memory_app()
        self.stores: Stores = stores
        self.job_client: FakeJobClient = job_client
        self.stop: list[bool] = stop
        self.port = servers.free_port()
        self.url = f"http://{servers.HOST}:{self.port}"
        config = uvicorn.Config(
            self.app, host=servers.HOST, port=self.port, log_level="critical", lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve()

    def start(self) -> None:
        self._thread.start()
        servers.wait_until(lambda: self._server.started, seconds=60, what="the API")

    def close(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def submit(self, **changes: object) -> str:
        with servers.http(self.url, ADMIN_KEY) as client:
            answer = client.post("/api/dashboard/jobs", json={**SPEC, **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> Job:
        found = self.run(self.stores.jobs.get(job_id))
        assert found is not None
        return found

    def change(self, job_id: str, **changes: object) -> Job:
        return self.run(self.job_client.put(self.job(job_id), **changes))

    def begin(self, job_id: str, attempt: int = 1) -> None:
        now = self.job(job_id).created_at
        started = AttemptStarted(attempt=attempt, agent_id="agent-7", claimed_at=now, started_at=now)
        self.run(self.job_client.attempt_started(job_id, started))

    def log(self, job_id: str, offset: int, data: bytes, *, attempt: int = 1, final: bool = False) -> None:
        chunk = LogChunk(offset, data, ((0, 1_700_000_000_123),) if data else (), final)
        self.run(self.stores.logs.append(job_id, attempt, chunk))

    def end(self, job_id: str, status: JobStatus, *, attempt: int = 1, size: int | None = None) -> None:
        self.run(self.job_client.end_attempt(job_id, attempt, status=status, log_bytes=size))

    def ended(self, status: JobStatus = JobStatus.SUCCESS, log: bytes = b"", **changes: object) -> str:
        """A job that ran once."""
        job_id = self.submit()
        self.begin(job_id)
        self.log(job_id, 0, log, final=True)
        self.end(job_id, status, size=len(log))
        if changes:
            self.change(job_id, **changes)
        return job_id


@contextmanager
def served() -> Generator[Served]:
    server = Served()
    server.start()
    try:
        yield server
    finally:
        server.close()


class Line:
    """A TCP line to a server that breaks after so many bytes of answers: one number per connection, then never."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self._target, self._cuts = port, cuts
        self.down = False
        self.connections = 0
        self.passed = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((servers.HOST, 0))
        self.url = f"http://{servers.HOST}:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.down:
                client.close()
                continue
            limit = self._cuts.pop(0) if self._cuts else None
            thread = threading.Thread(target=self._join, args=(client, limit), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _join(self, client: socket.socket, limit: int | None) -> None:
        with client, socket.create_connection((servers.HOST, self._target)) as server:
            self._open += [client, server]
            up = threading.Thread(target=self._pump, args=(client, server, None), daemon=True)
            up.start()
            self._pump(server, client, limit)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            up.join()

    def break_off(self) -> None:
        """End what is open, and let nothing new through until ``down`` is False again."""
        self.down = True
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        with contextlib.suppress(OSError):
            while limit is None or limit > 0:
                data = source.recv(4096 if limit is None else min(4096, limit))
                if not data:
                    return
                target.sendall(data)
                self.passed += len(data)
                limit = None if limit is None else limit - len(data)

    def close(self) -> None:
        self.break_off()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


def environment(url: str, key: str = ADMIN_KEY) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDCI_")}
    return {**clean, "HYBRIDCI_URL": url, "HYBRIDCI_API_KEY": key, "NO_COLOR": "1"}


def start(url: str, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """`hybridci <arguments>` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli.main", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment(url), cwd=cwd,
    )  # fmt: skip


__all__ = ["ADMIN_KEY", "AGENT_KEY", "Line", "Served", "environment", "served", "start"]
