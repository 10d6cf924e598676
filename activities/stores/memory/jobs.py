"""Stores of jobs in memory, for unit tests: the same contract as DynamoDB and S3, and gone with the process.

No ``await`` stands between a read and the write that follows from it, so no lock is needed. Deliberately not here:
deployments and what belongs to them (the modules beside this one).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import BinaryIO, Final

from activities.stores.chunks import ReadPlan, check_chunk, clip
from activities.stores.documents import dump_job, load_job
from activities.stores.interfaces import LogChunk, WriteOutcome
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.pages import newest_first
from activities.stores.paths import check_artifact_path
from activities.stores.statistics import Footprint, day_stats, deltas, queue_stats
from workflows.contracts.errors import NotFound
from workflows.contracts.jobs import ArtifactRef, Job
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats

_PIECE_BYTES: Final = 256 * 1024


class MemoryJobStore:
    """JobStore in a dict. Records are kept as text, as everywhere, so that nobody can change one from outside."""

    def __init__(self, events: MemoryEventStore) -> None:
        self._events = events
        self._documents: dict[str, str] = {}
        self._queue: Counter[str] = Counter()
        self._days: dict[str, Counter[str]] = {}

    async def write(self, write: JobWrite) -> WriteOutcome:
        """See JobStore."""
        job, stored = write.job, await self.get(write.job.job_id)
        if stored is not None and stored.sequence >= job.sequence:
            return WriteOutcome.STALE
        self._events.keep([*write.creation, *write.events])
        moved = deltas(Footprint.of(stored) if stored else None, job)
        self._documents[job.job_id] = dump_job(job)
        self._queue.update(moved.queue)
        for day, counters in moved.days.items():
            self._days.setdefault(day, Counter()).update(counters)
        return WriteOutcome.APPLIED

    async def get(self, job_id: str) -> Job | None:
        """See JobStore."""
        document = self._documents.get(job_id)
        return None if document is None else load_job(document)

    async def list(self, query: JobQuery) -> JobPage:
        """See JobStore."""
        jobs = [job for job in map(load_job, self._documents.values()) if _matches(query, job)]
        page, cursor = newest_first(query, jobs, _place)
        return JobPage(items=[job.summary() for job in page], next_cursor=cursor)

    async def queue_stats(self) -> QueueStats:
        """See JobStore."""
        return queue_stats(self._queue)

    async def day_stats(self, day: str) -> DayStats:
        """See JobStore."""
        return day_stats(day, self._days.get(day, {}))


class MemoryLogStore:
    """LogStore in a dict."""

    def __init__(self) -> None:
        self._chunks: dict[tuple[str, int], dict[tuple[int, int, bool], LogChunk]] = {}

    async def append(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        """See LogStore."""
        check_chunk(chunk)
        self._chunks.setdefault((job_id, attempt), {})[chunk.end, chunk.offset, chunk.final] = chunk

    async def read(self, job_id: str, attempt: int, start: int = 0) -> AsyncIterator[LogChunk]:
        """See LogStore."""
        chunks = self._chunks.get((job_id, attempt), {})
        plan = ReadPlan(start)
        for key in sorted(chunks):
            for planned in plan.offer(*key):
                yield clip(chunks[planned.end, planned.offset, planned.final], planned.start)
            if plan.complete:
                return


class MemoryArtifactStore:
    """ArtifactStore in a dict."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, int], dict[str, tuple[ArtifactRef, bytes]]] = {}

    async def put(self, job_id: str, attempt: int, path: str, body: BinaryIO, *, sha256: str) -> ArtifactRef:
        """See ArtifactStore."""
        check_artifact_path(path)
        content = await asyncio.to_thread(body.read)
        ref = ArtifactRef(path=path, size=len(content), sha256=sha256)
        self._files.setdefault((job_id, attempt), {})[path] = (ref, content)
        return ref

    async def list(self, job_id: str, attempt: int) -> list[ArtifactRef]:
        """See ArtifactStore."""
        files = self._files.get((job_id, attempt), {})
        return [files[path][0] for path in sorted(files)]

    async def find(self, job_id: str, attempt: int, path: str) -> ArtifactRef | None:
        """See ArtifactStore."""
        found = self._files.get((job_id, attempt), {}).get(path)
        return None if found is None else found[0]

    async def open(self, job_id: str, attempt: int, path: str) -> AsyncIterator[bytes]:
        """See ArtifactStore."""
        found = self._files.get((job_id, attempt), {}).get(path)
        if found is None:
            raise NotFound(
                f"Attempt {attempt} of job {job_id} left no artifact {path!r}; list them to see which it left."
            )
        for begin in range(0, len(found[1]), _PIECE_BYTES):
            yield found[1][begin : begin + _PIECE_BYTES]


def _place(job: Job) -> tuple[int, str]:
    return (job.created_at, job.job_id)


def _matches(query: JobQuery, job: Job) -> bool:
    wanted = ((query.status, job.status), (query.agent_id, job.agent_id), (query.pool, job.pool))
    return all(asked is None or asked == has for asked, has in (*wanted, (query.job_type, job.job_type)))
