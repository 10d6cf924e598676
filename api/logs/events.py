"""A log as server-sent events, which can be resumed: each carries its place as id, ``<attempt>:<offset>``.

Events: ``log`` with ``{"attempt", "offset", "text"}``, ``note`` with ``{"attempt", "text"}``, and at last ``end`` with
``{"attempt", "offset", "complete", "status", "altered"}``. Comments keep a quiet connection alive.
"""

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Final

from api.logs.stream import POLL_SECONDS, Event, Piece, StreamEnd, StreamNote

KEEPALIVE_SECONDS: Final = 15.0
PLACE_PATTERN: Final = r"^([1-9][0-9]{0,5}:)?[0-9]{1,15}$"
"""An event's id; a bare number is an offset in the attempt that was asked for."""


async def as_events(events: AsyncGenerator[Event, None]) -> AsyncIterator[bytes]:
    """The events as an event stream."""
    decoder, attempt, quiet = _Decoder(), 0, 0.0
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Piece):
                if event.attempt != attempt:
                    decoder, attempt = _Decoder(), event.attempt
                text, end = decoder.decode(event.chunk.data, event.chunk.end)
                if not text:
                    continue  # a part of a character, or the empty last chunk
                body = {"attempt": attempt, "offset": event.chunk.offset, "text": text}
                yield _event("log", body, place=f"{attempt}:{end}")
            elif isinstance(event, StreamNote):
                yield _event("note", {"attempt": event.attempt, "text": event.text})
            elif isinstance(event, StreamEnd):
                body = {"attempt": event.attempt, "offset": event.offset}
                told = {"complete": event.complete, "status": event.status, "altered": event.altered}
                yield _event("end", {**body, **told})
            else:
                quiet += POLL_SECONDS
                if quiet < KEEPALIVE_SECONDS:
                    continue
                yield b": still following\n\n"
            quiet = 0.0


def place_of(event_id: str) -> tuple[int | None, int]:
    """(attempt, offset) of an id that matches PLACE_PATTERN."""
    attempt, _, offset = event_id.rpartition(":")
    return (int(attempt) if attempt else None), int(offset)


class _Decoder:
    """Bytes to text across chunks; what is not UTF-8 becomes U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, data: bytes, end: int) -> tuple[str, int]:
        """The text, and the offset up to which bytes were used: a character may be cut by the chunk's end."""
        text = self._decoder.decode(data)
        return text, end - len(self._decoder.getstate()[0])


def _event(name: str, body: Mapping[str, object], *, place: str | None = None) -> bytes:
    where = f"id: {place}\n" if place else ""
    return f"event: {name}\n{where}data: {json.dumps(body)}\n\n".encode("ascii")
