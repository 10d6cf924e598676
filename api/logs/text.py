"""A log as plain text: the bytes as they are, our notes on lines of their own, times before lines if wanted."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from activities.stores.interfaces.logs import LogChunk
from api.logs.stream import Event, Piece, StreamNote

_PACE_BYTES: Final = 64 * 1024
"""Lines are stamped in pieces of this size, so that a chunk of a million lines does not hold up other requests."""


async def as_text(events: AsyncGenerator[Event, None], *, timestamps: bool) -> AsyncIterator[bytes]:
    """The events as bytes."""
    stamper = LineStamper()
    at_line_start = True
    async with aclosing(events):
        async for event in events:
            if isinstance(event, StreamNote):
                yield note_line(event, fresh_line=at_line_start)
                at_line_start, stamper = True, LineStamper()
            elif isinstance(event, Piece) and event.chunk.data:
                at_line_start = event.chunk.data.endswith(b"\n")
                if not timestamps:
                    yield event.chunk.data
                    continue
                for piece in stamper.stamped(event.chunk):
                    yield piece
                    await asyncio.sleep(0)


def note_line(note: StreamNote, *, fresh_line: bool) -> bytes:
    """One of our own sentences, recognisable as such."""
    return b"%s[hybridci] %s\n" % (b"" if fresh_line else b"\n", note.text.encode("utf-8", "replace"))


class LineStamper:
    """Puts the time at which a line's first byte was read before the line. Keeps its place across chunks."""

    def __init__(self) -> None:
        self._in_line = False
        self._millis: int | None = None

    def stamped(self, chunk: LogChunk) -> Iterator[bytes]:
        """The chunk's bytes with times, in pieces."""
        marks = list(chunk.marks)
        next_mark, position, out, size = 0, 0, list[bytes](), 0
        for line in _lines(chunk.data):
            while next_mark < len(marks) and marks[next_mark][0] <= position:
                self._millis = marks[next_mark][1]
                next_mark += 1
            if not self._in_line and self._millis is not None:
                out.append(_stamp(self._millis))
            out.append(line)
            self._in_line = not line.endswith(b"\n")
            position += len(line)
            size += len(line)
            if size >= _PACE_BYTES:
                yield b"".join(out)
                out, size = [], 0
        if out:
            yield b"".join(out)


def _lines(data: bytes) -> list[bytes]:
    """Split at line feeds only: a carriage return redraws a progress bar inside its line."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _stamp(millis: int) -> bytes:
    seconds, rest = divmod(millis, 1000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return b"%dms " % millis  # an agent's clock beyond all calendars
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:03d}Z ".encode()
