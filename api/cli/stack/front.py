"""In front of the embedded servers that ask for no key: they are answered under this machine's own names only.

The Temporal UI and the AWS APIs take any ``Host``, so a web page whose name was made to lead here (DNS rebinding) could
read and steer every workflow and record from the browser of whoever looks at it. Neither has a setting for that (tried
with UI 2.54: ``--ui-public-path`` leaves ``/api/v1`` at the root). So they listen where such a page does not find them,
our own processes ask them there, and this is what people reach.
Deliberately not here: HTTP. A browser keeps a connection to one name, so its first request says whose page it is.
"""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_HEAD_SECONDS: Final = 10.0
_MAX_HEAD_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 64 * 1024
_WHY: Final = b"This server answers under 127.0.0.1 and localhost only.\n"
_REFUSAL: Final = (
    b"HTTP/1.1 421 Misdirected Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_WHY), _WHY)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Where such a server itself listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Behind:
    """Both of them."""

    ui: Hidden
    aws: Hidden

    @staticmethod
    def found() -> "Behind":
        """Where they can listen now. Raises OSError."""
        return Behind(hidden_address(), hidden_address())


def hidden_address() -> Hidden:
    """A free port on an address of this machine alone that cannot be guessed: on Linux any of 127/8 is; elsewhere only
    127.0.0.1 may be there, and the port is all that hides it.
    """
    chance = random.SystemRandom()
    for host in (f"127.{chance.randrange(1, 255)}.{chance.randrange(256)}.{chance.randrange(1, 255)}", "127.0.0.1"):
        with suppress(OSError), socket.socket() as probe:
            probe.bind((host, 0))
            return Hidden(host, int(probe.getsockname()[1]))
    raise OSError("no port of this machine is free")


@asynccontextmanager
async def front(host: str, port: int, hidden: Hidden) -> AsyncGenerator[None]:
    """Answers there while it is open. Raises OSError."""
    names = frozenset(f"{name}:{port}".encode() for name in _NAMES)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        try:
            await _serve(reader, writer, hidden, lambda head: _host_of(head) in names)
        except (OSError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            pass  # it went away, or spoke no HTTP
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port, limit=_MAX_HEAD_BYTES)
    try:
        yield
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hidden: Hidden, known: Callable[[bytes], bool]
) -> None:
    async with asyncio.timeout(_HEAD_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
    if not known(head):
        writer.write(_REFUSAL)
        await writer.drain()
        return
    behind_reader, behind_writer = await asyncio.open_connection(hidden.host, hidden.port)
    try:
        behind_writer.write(head)
        asking = asyncio.create_task(_copy(reader, behind_writer))
        try:
            await _copy(behind_reader, writer)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    finally:
        behind_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side ends; the other is told."""
    try:
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    finally:
        with suppress(OSError):
            writer.write_eof()


def _host_of(head: bytes) -> bytes:
    """Nothing when there is none, or more than one."""
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    hosts = [value.strip().lower() for name, _, value in fields if name.strip().lower() == b"host"]
    return hosts[0] if len(hosts) == 1 else b""
