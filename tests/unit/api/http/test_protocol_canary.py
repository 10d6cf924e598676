"""What ``api.http.protocol`` and ``api.http.corked`` rely on in uvicorn's protocol, and whether they are still needed.

When one fails after an upgrade: a ``…_still_…`` test says that uvicorn does it by itself, and that part of ours may go;
any other names a method, an attribute or an order of calls that has changed, after which ours is not called, or breaks
uvicorn's. Whether ours does what it should is in ``tests/api/test_protocol.py``.
"""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.http.corked import CorkedTransport
from api.http.protocol import MAX_HEAD_BYTES, BoundedProtocol

REQUEST = b"GET /x HTTP/1.1\r\nHost: api\r\n\r\n"
BY_WRITE = {"writelines"}
"""Of a transport, and right as asyncio's own class has it, because it calls ``write``."""
NEVER_ASKED = {"get_write_buffer_limits"}


class Wire(asyncio.Transport):
    """Takes what is written, a piece a call."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Loop:
    """The running loop, with its timers counted."""

    def __init__(self) -> None:
        self._loop, self.timers = asyncio.get_running_loop(), 0

    def call_later(self, *args: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return self._loop.call_later(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def connected(kind: type[HttpToolsProtocol]) -> tuple[HttpToolsProtocol, Wire, Loop]:
    config, wire, loop = uvicorn.Config(app, log_config=None, ws="none", lifespan="off"), Wire(), Loop()
    protocol = kind(config, ServerState(), {}, loop)  # pyright: ignore[reportArgumentType]
    protocol.connection_made(wire)
    return protocol, wire, loop


async def answered(protocol: HttpToolsProtocol, wire: Wire) -> bytes:
    protocol.data_received(REQUEST)
    async with asyncio.timeout(5):
        while not b"".join(wire.pieces).endswith(b"ok"):  # noqa: ASYNC110
            await asyncio.sleep(0)
    return b"".join(wire.pieces)


def test_every_method_that_is_replaced_is_there() -> None:
    replaced = {name for name, value in vars(BoundedProtocol).items() if callable(value) and not name.startswith("_")}
    assert "send_400_response" in replaced
    assert replaced <= set(vars(HttpToolsProtocol))


async def test_no_name_of_ours_is_one_of_uvicorns() -> None:
    theirs, _, _ = connected(HttpToolsProtocol)
    ours = {name for name in vars(BoundedProtocol) if name.startswith("_") and not name.startswith("__")}
    assert ours
    assert not ours & (set(dir(HttpToolsProtocol)) | set(vars(theirs)))


async def test_the_parser_calls_what_is_replaced_once_a_request_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("on_message_begin", "on_headers_complete", "send_400_response"):
        inner = vars(HttpToolsProtocol)[name]

        def noted(self: HttpToolsProtocol, *args: Any, name: str = name, inner: Any = inner) -> None:
            calls.append(name)
            inner(self, *args)

        monkeypatch.setattr(HttpToolsProtocol, name, noted)
    protocol, wire, _ = connected(HttpToolsProtocol)
    await answered(protocol, wire)
    assert calls == ["on_message_begin", "on_headers_complete"]
    protocol.data_received(b"\0\1\r\n\r\n")
    assert calls[2:] in (["send_400_response"], ["on_message_begin", "send_400_response"])


async def test_uvicorn_still_waits_without_end_for_a_head_and_keeps_all_of_it() -> None:
    protocol, wire, loop = connected(HttpToolsProtocol)
    protocol.data_received(b"GET / HTTP/1.1\r\n")
    for number in range(2 * MAX_HEAD_BYTES // 1024):
        protocol.data_received(b"X-%d: %s\r\n" % (number, b"a" * 1024))
    assert (wire.pieces, wire.closed, loop.timers) == ([], False, 0)
    assert sum(len(value) for _, value in protocol.headers) >= 1.9 * MAX_HEAD_BYTES


async def test_uvicorn_still_sends_head_and_body_in_pieces() -> None:
    """One piece without ours: ``corked`` may go."""
    plain, ours = connected(HttpToolsProtocol), connected(BoundedProtocol)
    whole = await answered(*plain[:2])
    assert len(plain[1].pieces) > 1
    assert await answered(*ours[:2]) == whole
    assert len(ours[1].pieces) == 1


def test_a_corked_transport_has_all_that_a_transport_has() -> None:
    public = {name for name in dir(asyncio.Transport) if not name.startswith("_")}
    assert public - BY_WRITE - NEVER_ASKED <= set(vars(CorkedTransport))
