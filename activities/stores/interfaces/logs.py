"""What a store of logs does, and the pieces that it is given."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from activities.stores.interfaces.amounts import Amount


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of an attempt's log.

    ``marks`` are (offset inside this chunk, epoch milliseconds): the bytes from there on were read at that time.
    ``final`` is True on the last chunk, which can be empty. ``sha256``: what its agent says that the digest of the log
    up to the chunk's end is, in hexadecimal.
    """

    offset: int
    data: bytes
    marks: Sequence[tuple[int, int]] = ()
    final: bool = False
    sha256: str | None = None

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class LogExtent:
    """How much of a log is stored: ``size`` bytes up to the first gap; ``complete``: up to its final chunk."""

    size: int
    complete: bool


@dataclass(frozen=True, slots=True)
class LinePlace:
    """Where a line begins: ``line`` counted from 1, ``offset`` in bytes. ``total``: how many lines are stored, up to
    the first gap; a line behind the last one begins at the log's end.
    """

    line: int
    offset: int
    total: int


class LogStore(Protocol):
    """Logs of attempts, as chunks. Any worker may append; the same chunk may be appended again."""

    async def append(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        """Keep the chunk. Idempotent by (job, attempt, offset): the same chunk again changes nothing."""
        ...

    def read(self, job_id: str, attempt: int, start: int = 0, end: int | None = None) -> AsyncIterator[LogChunk]:
        """The stored chunks in order from ``start`` (the first may be cut), up to the first gap, or as far as ``end``
        needs: the last may go beyond it.

        Ends at what is stored now; to follow, read again from the last ``end``. A resent piece whose cut differs
        from the first sending is never yielded twice.
        """
        ...

    async def extent(self, job_id: str, attempt: int) -> LogExtent:
        """How much is stored now. Reads no chunk, only which there are."""
        ...

    async def places(self, job_id: str, attempt: int, lines: Sequence[int]) -> list[LinePlace]:
        """Where these lines begin: 1 is the first, -1 the last that is stored now; before the first is the first.

        In time that does not grow with the log, when it was stored by this version.
        """
        ...

    async def lines_at(self, job_id: str, attempt: int, offsets: Sequence[int]) -> list[int]:
        """In which line each of these bytes is: 1 is the first. Behind the log's end, as at its end.

        In time that does not grow with the log, when it was stored by this version.
        """
        ...

    async def stored(self, job_id: str) -> Amount:
        """What the logs of all attempts take."""
        ...

    async def remove(self, job_id: str) -> Amount:
        """Remove the logs of all attempts; what they took. Repeatable."""
        ...

    async def compact(self, job_id: str, attempt: int) -> bool:
        """Make fewer pieces of many, where there are, also of a log that grows. What is read stays the same, also by
        who reads meanwhile, and whatever is killed at any moment. False: there was nothing to do.
        """
        ...
