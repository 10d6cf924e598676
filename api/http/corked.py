"""A transport that sends what is written in one turn of the event loop together.

Uvicorn writes an answer's head and its body one after the other, and each would be a system call and a packet of its
own: for a small answer that is more than all of Python's work. Larger pieces go out at once, so that flow control sees
them. Deliberately not here: HTTP (``protocol``).
"""

import asyncio
from typing import Any, Final

_ENOUGH_BYTES: Final = 64 * 1024


class CorkedTransport(asyncio.Transport):
    """Around the transport of a connection. For the event loop's thread."""

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner, self._loop = inner, loop
        self._held: list[bytes] = []
        self._held_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sent when this turn of the loop is over, or now when it is much."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(bytes(data))
        self._held_bytes += len(data)
        if self._held_bytes >= _ENOUGH_BYTES:
            self._send()

    def close(self) -> None:
        """After what is held was sent."""
        self._send()
        self._inner.close()

    def abort(self) -> None:
        """At once; nobody gets what is held."""
        self._held.clear()
        self._inner.abort()

    def write_eof(self) -> None:
        """After what is held was sent."""
        self._send()
        self._inner.write_eof()

    def can_write_eof(self) -> bool:
        """As the inner transport."""
        return self._inner.can_write_eof()

    def is_closing(self) -> bool:
        """As the inner transport."""
        return self._inner.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the inner transport."""
        return self._inner.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """As the inner transport."""
        self._inner.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """As the inner transport."""
        return self._inner.get_protocol()

    def is_reading(self) -> bool:
        """As the inner transport."""
        return self._inner.is_reading()

    def pause_reading(self) -> None:
        """As the inner transport."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """As the inner transport."""
        self._inner.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the inner transport."""
        self._inner.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """What is held counts."""
        return self._inner.get_write_buffer_size() + self._held_bytes

    def _send(self) -> None:
        if self._held:
            data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
            self._inner.write(data)
