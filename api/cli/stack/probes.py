"""Asking whether a server is up, with nothing but sockets: the supervisor imports no HTTP or Temporal client."""

import asyncio
import contextlib
import json
from typing import Any, Final

_OK: Final = 200
_CREATED: Final = 201
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
    status, _ = await _ask(host, port, f"GET {path}", ())
    return status == _OK


async def answer(host: str, port: int, path: str, key: str) -> Any | None:
    """The JSON with which ``GET path`` is answered; None when there is no good answer now."""
    return await _told(host, port, f"GET {path}", key, _OK)


async def made(host: str, port: int, path: str, key: str) -> Any | None:
    """The JSON with which ``POST path`` without a body is answered, when that made something."""
    return await _told(host, port, f"POST {path}", key, _CREATED)


async def _told(host: str, port: int, what: str, key: str, wanted: int) -> Any | None:
    status, body = await _ask(host, port, what, (f"Authorization: Bearer {key}", "Content-Length: 0"))
    if status != wanted:
        return None
    try:
        return json.loads(body)
    except ValueError:  # cut short: the server was ended
        return None


async def _ask(host: str, port: int, what: str, headers: tuple[str, ...]) -> tuple[int | None, bytes]:
    lines = (f"{what} HTTP/1.1", f"Host: {_authority(host, port)}", "Connection: close", *headers, "", "")
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write("\r\n".join(lines).encode())
                await writer.drain()
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                await _close(writer)
    except (OSError, TimeoutError):
        return None, b""
    status = head.split(b" ")[1:2]
    return (int(status[0]) if status and status[0].isdigit() else None), body


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # the other side was faster
        await writer.wait_closed()
