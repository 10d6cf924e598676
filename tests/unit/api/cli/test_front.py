"""Who is let through to the servers behind: this machine's own names, and nobody else's."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from api.cli.stack.front import Hidden, front, hidden_address
from tests.servers import HOST, free_port


@asynccontextmanager
async def fronted() -> AsyncGenerator[tuple[int, list[bytes]]]:
    """The front's port, and what reached the UI behind it, which answers each request with its own words."""
    seen: list[bytes] = []

    async def ui(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            seen.append(data)
            writer.write(b"UI:" + data)
        writer.close()

    hidden, port = hidden_address(), free_port()
    server = await asyncio.start_server(ui, hidden.host, hidden.port)
    async with server, front(HOST, port, hidden):
        yield port, seen


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionResetError:  # closed with something unread
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
async def test_this_machines_names_are_let_through_with_all_they_say(name: str) -> None:
    async with fronted() as (port, seen):
        request = f"POST / HTTP/1.1\r\nHost: {name}:{port}\r\nContent-Length: 4\r\n\r\nbody".encode()
        assert await asked(port, request) == b"UI:" + b"UI:".join(seen)
        assert b"".join(seen) == request


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example.org:{port}"],
        ["evil.example.org"],
        ["localhost"],  # no browser leaves the port out
        ["localhost.evil.example.org:{port}"],
        ["127.0.0.1:{port}", "evil.example.org:{port}"],
        [],
    ],
)
async def test_a_rebound_page_reaches_nothing(hosts: list[str]) -> None:
    async with fronted() as (port, seen):
        lines = "".join(f"Host: {host.format(port=port)}\r\n" for host in hosts)
        answer = await asked(port, f"GET /api/v1/namespaces HTTP/1.1\r\n{lines}\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 421 ")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert seen == []


async def test_a_head_without_end_and_a_ui_that_is_away_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.stack.front._HEAD_SECONDS", 0.2)
    port = free_port()
    async with front(HOST, port, Hidden(HOST, free_port())):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"GET / HTTP/1.1\r\nHost:")
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        assert await asked(port, b"A: " + b"a" * (1 << 17)) == b""
        assert await asked(port, f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()) == b""


async def test_its_end_ends_its_connections() -> None:
    async with fronted() as (port, _):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        assert (await reader.read(100)).startswith(b"UI:")
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


def test_the_hidden_address_is_this_machines_and_free() -> None:
    found = {hidden_address() for _ in range(5)}
    assert len(found) == 5
    for each in found:
        assert each.host.startswith("127.")
        with socket.socket() as probe:
            probe.bind((each.host, each.port))
