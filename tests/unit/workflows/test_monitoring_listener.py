"""Who asks a process how it is gets an answer, whoever else talks to it, and whatever they say."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

import httpx
import pytest

from tests.servers import HOST, free_port
from workflows.monitoring import listener
from workflows.monitoring.address import MonitoringAddress
from workflows.monitoring.health import ProcessHealth
from workflows.monitoring.listener import MonitoringListener

PLACES = 16


@pytest.fixture
async def port() -> AsyncIterator[int]:
    port = free_port()
    listening = MonitoringListener(MonitoringAddress(HOST, port), "SETTING", ProcessHealth({}), lambda: b"figure 1\n")
    yield port
    await asyncio.to_thread(listening.close)


async def ask(port: int, path: str = "/health/live", **headers: str) -> httpx.Response:
    return await asyncio.to_thread(lambda: httpx.get(f"http://{HOST}:{port}{path}", headers=headers, timeout=30))


async def test_who_is_slow_to_ask_keeps_nobody_else_out(port: int) -> None:
    """Many that have begun to ask, who would send a byte now and then, and more of them than there are places."""
    with ExitStack() as stack:
        for _ in range(PLACES + 4):
            slow = stack.enter_context(socket.create_connection((HOST, port)))
            slow.sendall(b"GET /health/live HTT")
        for _ in range(2 * PLACES):
            assert (await ask(port)).json()["status"] == "alive"
        assert (await ask(port, "/metrics")).text == "figure 1\n"


async def test_a_request_has_a_limit_however_often_a_byte_of_it_comes(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_PATIENCE_SECONDS", 0.5)
    reader, writer = await asyncio.open_connection(HOST, port)

    async def trickle() -> None:
        writer.write(b"GET /health/live HTTP/1.0\r\nX: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    try:
        with pytest.raises((ConnectionError, EOFError)):
            async with asyncio.timeout(20):
                await reader.readexactly(1)
    finally:
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        writer.close()
    assert (await ask(port)).status_code == 200


@pytest.mark.parametrize("host", ["[::", "[", "]", "[::1", "[v1.x]", "evil.example", "127.0.0.1.evil.example", ""])
async def test_who_asks_by_no_name_of_this_machine_is_told_so(
    host: str, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await ask(port, Host=host)).status_code == 421
    assert "failed" not in caplog.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:80", "localhost:9101"])
async def test_who_asks_by_a_name_of_this_machine_is_answered(host: str, port: int) -> None:
    assert (await ask(port, Host=host)).status_code == 200


def _hears_both() -> bool:
    try:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True):
            return True
    except (OSError, ValueError):
        return False


@pytest.mark.skipif(not _hears_both(), reason="this host has no IPv6, or no socket that hears IPv4 too")
async def test_the_loopback_of_one_kind_is_known_where_both_are_listened_to() -> None:
    port = free_port()
    listening = MonitoringListener(MonitoringAddress("::", port), "SETTING", ProcessHealth({}), lambda: b"")
    try:
        assert (await ask(port, Host="evil.example")).status_code == 421
        assert (await ask(port)).status_code == 200
    finally:
        await asyncio.to_thread(listening.close)
