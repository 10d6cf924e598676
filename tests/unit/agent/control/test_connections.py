"""An agent's heartbeats share one connection, which agent and server keep for as long as the other thinks."""

import asyncio
import time
from types import SimpleNamespace

import httpcore._async.http11 as http11
import pytest

from agent.control.api import ControlPlane
from workflows.contracts.agents import (
    AGENT_KEEPS_CONNECTIONS_SECONDS,
    HEARTBEAT_SECONDS,
    SERVER_KEEPS_CONNECTIONS_SECONDS,
    Heartbeat,
)

_ANSWER = b'{"status": "HEALTHY"}'


class Server:
    """Answers every heartbeat and counts connections."""

    def __init__(self) -> None:
        self.connections = self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                self.requests += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_ANSWER), _ANSWER))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def test_heartbeats_share_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    monkeypatch.setattr(http11, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, ControlPlane(f"http://127.0.0.1:{port}", "key", connections=2) as plane:
        for sequence in range(1, 4):
            await plane.heartbeat("agent-1", Heartbeat(sequence=sequence))
            passed += HEARTBEAT_SECONDS * 1.2
        assert (server.requests, server.connections) == (3, 1)
        passed += AGENT_KEEPS_CONNECTIONS_SECONDS
        await plane.heartbeat("agent-1", Heartbeat(sequence=4))
        assert (server.requests, server.connections) == (4, 2)


def test_the_agent_lets_go_first_and_not_between_heartbeats() -> None:
    assert 2 * HEARTBEAT_SECONDS < AGENT_KEEPS_CONNECTIONS_SECONDS < SERVER_KEEPS_CONNECTIONS_SECONDS - 10
