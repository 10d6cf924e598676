"""Store interfaces with their contract. Every implementation passes ``tests/stores``.

All methods are coroutines, safe for concurrent use, and raise ``Unavailable`` when the backing service does not
answer or throttles; nothing else is raised unless named. Times are epoch milliseconds, sizes bytes.
"""

import builtins
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final, Generic, Protocol, TypeVar

from activities.stores.bundles import BundledFile
from workflows.contracts.access import Credential, CredentialKind, CredentialPage
from workflows.contracts.agents import Agent, AgentBeat, AgentPage, AgentQuery, Pool, RequirementDemand
from workflows.contracts.audit.events import AuditEvent, EventPage, EventQuery
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.deployments.bans import BanList
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentPage,
    DeploymentQuery,
    DeploymentStats,
    DeploymentSummary,
    DeploymentWrite,
)
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite
from workflows.contracts.deployments.line import LineState
from workflows.contracts.deployments.services import Service, ServicePage
from workflows.contracts.deployments.versions import VersionClaim
from workflows.contracts.jobs import ArtifactRef, Job, JobSummary
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats
from workflows.contracts.storage.retention import SweepState

S = TypeVar("S")


class WriteOutcome(StrEnum):
    """What became of a write."""

    APPLIED = "applied"
    STALE = "stale"  # the stored sequence is the same or newer: nothing was changed


@dataclass(frozen=True, slots=True)
class Placed(Generic[S]):
    """An entry of a list by time, with its place there: what is newer has a greater one."""

    place: str
    summary: S


@dataclass(frozen=True, slots=True)
class Amount:
    """Objects and their bytes. ``more``: there are more, which nobody counted."""

    objects: int = 0
    size: int = 0
    more: bool = False


NOTHING: Final = Amount()


class JobStore(Protocol):
    """Job records, their indexes and the queue's counters."""

    async def write(self, write: JobWrite, document: str | None = None) -> WriteOutcome:
        """Store the record and move the counters in one transaction.

        ``document`` is the record as ``documents.dump_job`` writes it, from who has made it already.

        Condition ``sequence_is_newer``: no record yet, or the stored sequence is lower than ``write.job.sequence``.
        Otherwise nothing changes and STALE is returned, so a write may be repeated any number of times. Events are kept
        in that transaction too, ``creation``'s only when there is no record yet.
        """
        ...

    async def get(self, job_id: str) -> Job | None:
        """The record as last written (a consistent read), or None."""
        ...

    async def list(self, query: JobQuery) -> JobPage:
        """Newest first by ``created_at``. A page reads a bounded number: it can be short while ``next_cursor`` is set,
        when filters drop much, and says so (``stopped_early``).

        Raises ValidationFailed for a cursor that this query did not hand out, and for a label that jobs are not found
        by.
        """
        ...

    async def oldest(self, behind: str, until: int, limit: int) -> builtins.list[Placed[JobSummary]]:
        """The first ``limit`` that were created before ``until``, behind a place; oldest first."""
        ...

    async def remove(self, job: Job) -> bool:
        """Remove the record with all its entries in lists, all or nothing, as long as it is this one.

        Counters stay: they count what was done. True also when it is gone already; False: it has changed, and stays.
        """
        ...

    async def queue_stats(self) -> QueueStats:
        """The counters: the same cost whatever the number of jobs."""
        ...

    async def day_stats(self, day: str) -> DayStats:
        """The counters of one day, ``YYYY-MM-DD`` in UTC."""
        ...

    async def completed_by(self, agent_ids: Sequence[str]) -> dict[str, int]:
        """How many jobs each of these agents has completed: the same cost whatever the number of jobs."""
        ...


class DeploymentStore(Protocol):
    """Deployment records and what they are found by. Events are kept in their record's transaction."""

    async def write(self, write: DeploymentWrite, document: str | None = None) -> WriteOutcome:
        """Store the record, move it between lists and counters, append ``write.events``: all or nothing.

        ``document`` is the record as ``documents.dump_deployment`` writes it, from who has made it already.

        Condition ``sequence_is_newer``, as for jobs: an old or repeated write changes nothing and returns STALE.
        Raises ValidationFailed for a record that is too large to be kept.
        """
        ...

    async def get(self, deployment_id: str) -> Deployment | None:
        """The record as last written (a consistent read), or None."""
        ...

    async def version_claim(self, service_name: str, version: str) -> VersionClaim | None:
        """Which commit this version is; a consistent read. None: none was created since there are claims.

        A record's first write makes the claim with it. Unless its definition allows a version to be used again, that
        raises InvalidState, and nothing is kept, when the version is another commit already.
        """
        ...

    async def list(self, query: DeploymentQuery) -> DeploymentPage:
        """Newest first by ``created_at``. Raises ValidationFailed for a cursor that this query did not hand out."""
        ...

    async def oldest(self, behind: str, until: int, limit: int) -> builtins.list[Placed[DeploymentSummary]]:
        """As for jobs."""
        ...

    async def remove(self, deployment: Deployment) -> bool:
        """As for jobs."""
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


class BanStore(Protocol):
    """What is banned of each service: one record of a service."""

    async def put(self, bans: BanList, events: Sequence[AuditEvent]) -> bool:
        """Store the bans of a service and their events, all or nothing, under ``revision_follows`` as for agents."""
        ...

    async def get(self, service_name: str) -> BanList:
        """As last written, of revision 0 when nothing ever was; a consistent read."""
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

    async def named(self, keys: Sequence[tuple[str, str]]) -> list[EnvironmentState]:
        """Of these services' environments, those that were ever used, in no order; a few hundred in a few requests."""
        ...


class LineStore(Protocol):
    """The one record of the freezes and holds that concern many services."""

    async def get(self) -> LineState:
        """As last written, or an empty one of revision 0; a consistent read."""
        ...

    async def put(self, line: LineState, events: Sequence[AuditEvent]) -> bool:
        """Store it with its events, all or nothing. False, and nothing changed, unless the stored one is of the
        revision before. Raises ValidationFailed for a record that is too large to be kept.
        """
        ...


class AgentStore(Protocol):
    """Agents, their last heartbeats, pools, and the demands for labels that jobs of a pool have made.

    Records carry a ``revision``; a heartbeat is kept beside its agent's record and never touches it.
    """

    async def put(self, agent: Agent, events: Sequence[AuditEvent]) -> bool:
        """Store the record (without ``beat``) and its events, all or nothing.

        Condition ``revision_follows``: the stored revision is ``agent.revision - 1``, or there is none and it is 1.
        False, and nothing changed, otherwise; the same record again at the same revision is True.
        """
        ...

    async def get(self, agent_id: str) -> Agent | None:
        """The record with its last heartbeat; consistent reads."""
        ...

    async def of_pool(self, pool: str) -> list[Agent]:
        """All agents of a pool with their heartbeats. Its cost grows with the pool only."""
        ...

    async def beat(self, beats: Sequence[AgentBeat]) -> None:
        """Keep these heartbeats, many in one request; each replaces the agent's last one. At most one for an agent."""
        ...

    async def forget(self, agent_id: str, revision: int | None = None) -> None:
        """Remove the record and its heartbeat; with ``revision``, only as long as the record is that one."""
        ...

    async def put_pool(self, pool: Pool, events: Sequence[AuditEvent]) -> bool:
        """As ``put``, for a pool."""
        ...

    async def pool(self, name: str) -> Pool | None:
        """The pool's record, or None: a pool of which nothing was ever said."""
        ...

    async def pools(self) -> list[Pool]:
        """All pools, by name; a few hundred at most."""
        ...

    async def demand(self, pool: str, requires: Sequence[str], at: int) -> None:
        """Keep that a job of the pool demands these labels (normalised). Repeated demands refresh ``last_used_at``."""
        ...

    async def demands(self, pool: str) -> list[RequirementDemand]:
        """The demands of the last 7 days, the latest first, at most 100."""
        ...

    async def list(self, query: AgentQuery) -> AgentPage:
        """By id, with heartbeats. Reads no other pool's agents. Raises ValidationFailed for a foreign cursor."""
        ...


class CredentialStore(Protocol):
    """Keys, sessions, tokens: what is kept of a secret that was handed out. What has expired goes by itself."""

    async def put(self, credential: Credential, events: Sequence[AuditEvent]) -> bool:
        """Store it and its events, all or nothing, under ``revision_follows`` as for agents."""
        ...

    async def get(self, credential_id: str) -> Credential | None:
        """As last written; a consistent read. One that has expired may still be returned."""
        ...

    async def get_many(self, credential_ids: Sequence[str]) -> builtins.list[Credential]:
        """Those of them that are there, in any order; consistent reads, many in one request."""
        ...

    async def touch(self, credential_id: str, at: int) -> None:
        """Keep when it was last used, outside its revision. Nothing for one that is gone."""
        ...

    async def list(self, kind: CredentialKind, *, limit: int, cursor: str | None) -> CredentialPage:
        """Newest first. Raises ValidationFailed for a foreign cursor."""
        ...


class EventStore(Protocol):
    """The audit trail. Append-only: events are written with the records they belong to, or here alone.

    Each event has a place in the feed: the next number of one of its shards, given together with the event, so that
    there is never a gap. Events that were kept before there was a feed are in the lists only.
    """

    async def append(self, event: AuditEvent) -> None:
        """Keep an event that belongs to no record. The same ``event_id`` again changes nothing."""
        ...

    async def list(self, query: EventQuery) -> EventPage:
        """Newest first by ``at``. Raises ValidationFailed for a cursor that this query did not hand out."""
        ...

    async def heads(self) -> builtins.dict[int, int]:
        """By shard the last number given; one consistent read, whatever the number of shards, but not of one moment."""
        ...

    async def rows(self, shard: int, behind: int, upto: int) -> builtins.list[FeedRow]:
        """The events of a shard with numbers above ``behind``, up to ``upto``, in order.

        It may end before ``upto``: go on from its last. Empty when the next one cannot be read yet.
        """
        ...

    async def last_of(self, subject: str) -> FeedRow | None:
        """A subject's last event; None for one without an event since there is a feed."""
        ...


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


class ArtifactStore(Protocol):
    """Files that attempts leave behind."""

    async def put(
        self, job_id: str, attempt: int, path: str, body: BinaryIO, *, sha256: str, executable: bool = False
    ) -> ArtifactRef:
        """Store the file; a repeated put replaces it."""
        ...

    async def put_bundle(
        self, job_id: str, attempt: int, body: BinaryIO, files: builtins.list[BundledFile], *, sha256: str
    ) -> None:
        """Store many small files at once, all or none (``bundles``). A repeated put changes nothing; of files with one
        path in several bundles the last is meant, and one in a bundle comes before one that was put alone.
        """
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

    async def stored(self, job_id: str) -> Amount:
        """What the files of all attempts take."""
        ...

    async def remove(self, job_id: str) -> Amount:
        """Remove the files of all attempts; what they took. Repeatable."""
        ...


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table in numbers, as the database says them: AWS counts anew every six hours. ``holds``: what is in it."""

    holds: str
    table: str
    items: int
    size: int


class StorageStore(Protocol):
    """What the stores take as a whole, and how far the sweeps are."""

    async def tables(self) -> builtins.list[TableSize]:
        """Each table's size, by name."""
        ...

    async def oldest(self) -> builtins.dict[str, int]:
        """When the oldest of the ``jobs``, ``deployments`` and ``events`` was created, where there is one."""
        ...

    async def logs(self, at_most: int) -> Amount:
        """What logs take, as far as ``at_most`` objects."""
        ...

    async def artifacts(self, at_most: int) -> Amount:
        """What artifacts take, as far as ``at_most`` objects."""
        ...

    async def expired(self, now: int, at_most: int, *, remove: bool) -> Amount:
        """What has outlived its time where nothing else removes it: counted, or removed. Nothing where the database
        does so itself.
        """
        ...

    async def sweeps(self) -> SweepState:
        """How far the sweeps are; a consistent read."""
        ...

    async def keep_sweeps(self, state: SweepState) -> None:
        """Replace it."""
        ...
