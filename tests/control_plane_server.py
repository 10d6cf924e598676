"""The API's side of an agent's HTTP calls: a real server on a real port that keeps what it is sent.

It can refuse, fail and go away. Written on asyncio streams, so that agent tests need nothing of the API.
"""

import asyncio
import io
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from activities.stores.bundles import read_bundle
from tests.servers import HOST, free_port
from workflows.contracts.agents import AgentRegistration, AgentStatus, Heartbeat, HeartbeatAnswer
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.running_digest import RunningDigest

KEY = "agent-key"
TOKEN = "agent-token"


@dataclass
class StoredLog:
    """One attempt's log; ``chunks`` maps an offset to its bytes."""

    chunks: dict[int, bytes] = field(default_factory=dict[int, bytes])
    marks: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    final: bool = False
    requests: int = 0
    hashed: int = 0
    digest: RunningDigest = field(default_factory=RunningDigest)

    @property
    def data(self) -> bytes:
        """All bytes; an overlap or a gap is an error."""
        joined = b""
        for offset in sorted(self.chunks):
            assert offset == len(joined), f"chunk at {offset}, but {len(joined)} bytes before it"
            joined += self.chunks[offset]
        return joined


@dataclass
class Artifact:
    body: bytes
    sha256: str
    executable: bool = False


@dataclass
class Registry:
    """What agents say of themselves, and what they are told. ``refusal``: status and detail for who registers.

    ``token`` is what registering gives; it is accepted wherever KEY is, and for heartbeats nothing else.
    ``present`` False: an API of an earlier version. ``knows_tasks`` False: one of before agent tasks, which refuses a
    field that it does not know.
    """

    present: bool = True
    knows_tasks: bool = True
    token: str = TOKEN
    refusal: tuple[int, str] | None = None
    gateway: dict[str, str] | None = None
    registered: list[AgentRegistration] = field(default_factory=list[AgentRegistration])
    keys: list[str] = field(default_factory=list[str])
    heartbeats: list[Heartbeat] = field(default_factory=list[Heartbeat])
    orders: HeartbeatAnswer = field(
        default_factory=lambda: HeartbeatAnswer(status=AgentStatus.HEALTHY, heartbeat_seconds=1)
    )
    unknown: bool = False
    gone: list[str] = field(default_factory=list[str])


class ControlPlaneServer:
    """``answer`` other than 204 is given to every request, which is then not kept; ``keep_but_fail`` keeps it first."""

    def __init__(self) -> None:
        self.port = free_port()
        self.answer = 204
        self.keep_but_fail = 0
        self.takes_bundles = True
        self.bundles: list[list[str]] = []
        self.logs: dict[tuple[str, int], StoredLog] = {}
        self.starts: dict[str, list[AttemptStarted]] = {}
        self.artifacts: dict[tuple[str, int, str], Artifact] = {}
        self.registry = Registry()
        self.requests: list[str] = []
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def log(self, job_id: str, attempt: int = 1) -> StoredLog:
        return self.logs.setdefault((job_id, attempt), StoredLog())

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=64 * 1024)

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.cancel()
            await asyncio.gather(*self._connections)
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                request, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, said = self._take(request.split(" ")[1], headers, body)
                writer.write(f"HTTP/1.1 {status} Said\r\ncontent-length: {len(said)}\r\n\r\n".encode() + said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.requests.append(path)
        shown = headers.get("authorization", "").removeprefix("Bearer ")
        if self.answer == 204 and path == "/api/agents/register":
            return self._register(shown, body)
        if shown not in {KEY, self.registry.token}:
            return 401, b""
        if self.answer != 204:
            return self.answer, b""
        if path.startswith("/api/agents/"):
            return self._hear(path.removeprefix("/api/agents/"), shown, body)
        return self._deliver(path, headers, body), b""

    def _register(self, shown: str, body: bytes) -> tuple[int, bytes]:
        registry = self.registry
        if not registry.present:
            return 404, b'{"detail": "There is nothing here."}'
        if registry.refusal is not None:
            status, detail = registry.refusal
            return status, json.dumps({"detail": detail}).encode()
        if not registry.knows_tasks and b'"tasks"' in body:
            return 422, b'{"detail": "Correct these fields and send the request again: tasks."}'
        registry.keys.append(shown)
        registry.registered.append(AgentRegistration.model_validate_json(body))
        registry.unknown = False
        answer: dict[str, object] = {"token": registry.token, "heartbeat_seconds": registry.orders.heartbeat_seconds}
        return 201, json.dumps({**answer, "token_expires_at": None, "gateway": registry.gateway}).encode()

    def _hear(self, path: str, shown: str, body: bytes) -> tuple[int, bytes]:
        registry, (agent_id, what) = self.registry, path.split("/")
        if not registry.present or registry.unknown:
            return 404, b'{"detail": "There is no such agent."}'
        if shown != registry.token:
            return 401, b""
        if what == "deregister":
            registry.gone.append(agent_id)
            return 200, b"{}"
        registry.heartbeats.append(Heartbeat.model_validate_json(body))
        return 200, registry.orders.model_dump_json().encode()

    def _deliver(self, path: str, headers: dict[str, str], body: bytes) -> int:
        job_id, attempt, what = _parse(path)
        if what == "start":
            self.starts.setdefault(job_id, []).append(AttemptStarted.model_validate_json(body))
        elif what.startswith("log/"):
            self._take_chunk(self.log(job_id, attempt), int(what[4:]), headers, body)
        elif what == "artifact-bundles":
            if not self.takes_bundles:
                return 404
            files = read_bundle(io.BytesIO(body))
            for file in files:
                content = body[file.offset : file.offset + file.ref.size]
                self.artifacts[job_id, attempt, file.ref.path] = Artifact(content, file.ref.sha256, file.ref.executable)
            self.bundles.append([file.ref.path for file in files])
        else:
            path = what.removeprefix("artifacts/")
            executable = headers.get("artifact-executable") == "true"
            self.artifacts[job_id, attempt, path] = Artifact(body, headers["content-sha256"], executable)
        if self.keep_but_fail > 0:
            self.keep_but_fail -= 1
            return 503
        return 204

    @staticmethod
    def _take_chunk(log: StoredLog, offset: int, headers: dict[str, str], body: bytes) -> None:
        log.requests += 1
        log.final = log.final or headers["log-final"] == "true"
        if offset in log.chunks:
            assert log.chunks[offset] == body, f"the chunk at {offset} came again with another cut"
            return
        log.chunks[offset] = body
        if offset == log.hashed:
            log.digest.update(body)
            log.hashed += len(body)
            assert headers["log-sha256"] == log.digest.hexdigest(), "the running digest is another"
        marks: list[tuple[int, int]] = json.loads(headers["log-marks"])
        assert len(marks) <= 500
        log.marks += [(offset + inside, at) for inside, at in marks]


def _parse(path: str) -> tuple[str, int, str]:
    parts = path.split("/", 7)
    assert parts[1:4] == ["api", "queue", "jobs"], path
    assert parts[5] == "attempts", path
    return parts[4], int(parts[6]), parts[7]
