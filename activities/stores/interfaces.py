"""Store interfaces with their contract. Every implementation passes ``tests/stores``.

All methods are coroutines, safe for concurrent use, and raise ``Unavailable`` when the backing service does not
answer or throttles; nothing else is raised unless named. Times are epoch milliseconds, sizes bytes.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol

from workflows.contracts.jobs import ArtifactRef, Job
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats


class WriteOutcome(StrEnum):
    """What became of a write."""

    APPLIED = "applied"
    STALE = "stale"  # the stored sequence is the same or newer: nothing was changed


class JobStore(Protocol):
    """Job records, their indexes and the queue's counters."""

    async def write(self, write: JobWrite) -> WriteOutcome:
        """Store the record and move the counters in one transaction.

        Condition ``sequence_is_newer``: no record yet, or the stored sequence is lower than ``write.job.sequence``.
        Otherwise nothing changes and STALE is returned, so a write may be repeated any number of times.
        """
        ...

    async def get(self, job_id: str) -> Job | None:
        """The record as last written (a consistent read), or None."""
        ...

    async def list(self, query: JobQuery) -> JobPage:
        """Newest first by ``created_at``. A page can be short while ``next_cursor`` is set, when filters drop much.

        Raises ValidationFailed for a cursor that this query did not hand out.
        """
        ...

    async def queue_stats(self) -> QueueStats:
        """The counters: the same cost whatever the number of jobs."""
        ...

    async def day_stats(self, day: str) -> DayStats:
        """The counters of one day, ``YYYY-MM-DD`` in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of an attempt's log.

    ``marks`` are (offset inside this chunk, epoch milliseconds): the bytes from there on were read at that time.
    ``final`` is True on the last chunk, which can be empty.
    """

    offset: int
    data: bytes
    marks: Sequence[tuple[int, int]] = ()
    final: bool = False

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + len(self.data)


class LogStore(Protocol):
    """Logs of attempts, as chunks. Any worker may append; the same chunk may be appended again."""

    async def append(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        """Keep the chunk. Idempotent by (job, attempt, offset): the same chunk again changes nothing."""
        ...

    def read(self, job_id: str, attempt: int, start: int = 0) -> AsyncIterator[LogChunk]:
        """The stored chunks in order from ``start`` (the first may be cut), up to the first gap.

        Ends at what is stored now; to follow, read again from the last ``end``. A resent piece whose cut differs
        from the first sending is never yielded twice.
        """
        ...


class ArtifactStore(Protocol):
    """Files that attempts leave behind."""

    async def put(self, job_id: str, attempt: int, path: str, body: BinaryIO, *, sha256: str) -> ArtifactRef:
        """Store the file; a repeated put replaces it."""
        ...

    async def list(self, job_id: str, attempt: int) -> list[ArtifactRef]:
        """What the attempt left, by path. Its cost grows with the number of files."""
        ...

    async def find(self, job_id: str, attempt: int, path: str) -> ArtifactRef | None:
        """The one of this path, or None; also for a path that cannot be kept."""
        ...

    def open(self, job_id: str, attempt: int, path: str) -> AsyncIterator[bytes]:
        """The file's bytes, in pieces. Raises NotFound."""
        ...
