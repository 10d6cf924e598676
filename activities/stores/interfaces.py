"""Store interfaces with their contract. Every implementation passes ``tests/stores``.

All methods are coroutines, safe for concurrent use, and raise ``Unavailable`` when the backing service does not
answer or throttles; nothing else is raised unless named. Times are epoch milliseconds, sizes bytes.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol

from workflows.contracts.deployments import (
    AuditEvent,
    Deployment,
    DeploymentPage,
    DeploymentQuery,
    DeploymentStats,
    DeploymentWrite,
    EventPage,
    EventQuery,
)
from workflows.contracts.environments import EnvironmentState, EnvironmentWrite
from workflows.contracts.jobs import ArtifactRef, Job
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats
from workflows.contracts.services import Service, ServicePage


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


class DeploymentStore(Protocol):
    """Deployment records and what they are found by. Events are kept in their record's transaction."""

    async def write(self, write: DeploymentWrite) -> WriteOutcome:
        """Store the record, move it between lists and counters, append ``write.events``: all or nothing.

        Condition ``sequence_is_newer``, as for jobs: an old or repeated write changes nothing and returns STALE.
        Raises ValidationFailed for a record that is too large to be kept.
        """
        ...

    async def get(self, deployment_id: str) -> Deployment | None:
        """The record as last written (a consistent read), or None."""
        ...

    async def list(self, query: DeploymentQuery) -> DeploymentPage:
        """Newest first by ``created_at``. Raises ValidationFailed for a cursor that this query did not hand out."""
        ...

    async def stats(self) -> DeploymentStats:
        """Counters: the same cost whatever the number of deployments."""
        ...

    async def day_count(self, day: str) -> int:
        """How many were created on a day, ``YYYY-MM-DD`` in UTC."""
        ...


class ServiceStore(Protocol):
    """Registered services, each version of their definition kept."""

    async def put(self, service: Service, *, expected_version: int | None, events: Sequence[AuditEvent]) -> bool:
        """Store this version and make it the present one, with its events, all or nothing.

        False, and nothing changed, unless the present version is ``service.version - 1`` (or there is none, for version
        1) and equals ``expected_version`` when that is given. The same version with the same content again is True.
        """
        ...

    async def get(self, name: str, version: int | None = None) -> Service | None:
        """This version of the service, or the present one; a consistent read."""
        ...

    async def list(self, *, limit: int, cursor: str | None) -> ServicePage:
        """Present versions, by name. Raises ValidationFailed for a foreign cursor."""
        ...


class EnvironmentStore(Protocol):
    """What is live in each environment of a service, who waits, what holds it."""

    async def write(self, write: EnvironmentWrite) -> WriteOutcome:
        """Store the state and append its events, under ``sequence_is_newer``."""
        ...

    async def get(self, service_name: str, environment: str) -> EnvironmentState | None:
        """As last written; a consistent read."""
        ...

    async def of_service(self, service_name: str) -> list[EnvironmentState]:
        """All environments of a service that have ever been used, by name; ten or so."""
        ...


class EventStore(Protocol):
    """The audit trail. Append-only: events are written with the records they belong to, or here alone."""

    async def append(self, event: AuditEvent) -> None:
        """Keep an event that belongs to no record. The same ``event_id`` again changes nothing."""
        ...

    async def list(self, query: EventQuery) -> EventPage:
        """Newest first by ``at``. Raises ValidationFailed for a cursor that this query did not hand out."""
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
