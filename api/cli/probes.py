"""Asking whether a server is up, with nothing but sockets: the supervisor imports no HTTP or Temporal client."""

import asyncio
import contextlib
from typing import Final

_TIMEOUT_SECONDS: Final = 4.0
"""Longer than the readiness route's own checks take to fail."""


async def accepts(host: str, port: int) -> bool:
    """True when something accepts connections there."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    await _close(writer)
    return True


async def answers_ok(host: str, port: int, path: str) -> bool:
    """True when ``GET path`` is answered with status 200."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {_authority(host, port)}\r\nConnection: close\r\n\r\n".encode()
                )
                await writer.drain()
                status = await reader.readline()
            finally:
                await _close(writer)
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # the other side was faster
        await writer.wait_closed()
