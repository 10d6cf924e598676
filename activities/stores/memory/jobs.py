"""JobStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

import builtins
from collections import Counter
from collections.abc import Sequence

from activities.stores.documents import dump_job, load_job
from activities.stores.found_by import labels_match, matches, require_allowed
from activities.stores.interfaces.writes import Placed, WriteOutcome
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.pages import newest_first, oldest
from activities.stores.statistics import Footprint, day_stats, deltas, queue_stats
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats


class MemoryJobStore:
    """JobStore in a dict. Records are kept as text, as everywhere, so that nobody can change one from outside."""

    def __init__(self, events: MemoryEventStore, filter_labels: Sequence[str] = ()) -> None:
        self._events, self._filter_labels = events, filter_labels
        self._documents: dict[str, str] = {}
        self._queue: Counter[str] = Counter()
        self._days: dict[str, Counter[str]] = {}
        self._completed: Counter[str] = Counter()

    async def write(self, write: JobWrite, document: str | None = None) -> WriteOutcome:
        """See JobStore."""
        job, stored = write.job, await self.get(write.job.job_id)
        if stored is not None and stored.sequence >= job.sequence:
            return WriteOutcome.STALE
        self._keep(write, stored, document)
        return WriteOutcome.APPLIED

    async def get(self, job_id: str) -> Job | None:
        """See JobStore."""
        document = self._documents.get(job_id)
        return None if document is None else load_job(document)

    async def list(self, query: JobQuery) -> JobPage:
        """See JobStore."""
        require_allowed(query, self._filter_labels)
        jobs = [job for job in map(load_job, self._documents.values()) if labels_match(query, job.labels)]
        jobs = [job for job in jobs if matches(query, job.summary())]
        page, cursor = newest_first(query, jobs, _place)
        return JobPage(items=[job.summary() for job in page], next_cursor=cursor)

    async def oldest(self, behind: str, until: int, limit: int) -> builtins.list[Placed[JobSummary]]:
        """See JobStore."""
        found = oldest(map(load_job, self._documents.values()), _place, behind, until, limit)
        return [Placed(place, job.summary()) for place, job in found]

    async def remove(self, job: Job) -> bool:
        """See JobStore."""
        stored = await self.get(job.job_id)
        if stored is not None and stored.sequence != job.sequence:
            return False
        self._documents.pop(job.job_id, None)
        return True

    async def queue_stats(self) -> QueueStats:
        """See JobStore."""
        return queue_stats(self._queue)

    async def day_stats(self, day: str) -> DayStats:
        """See JobStore."""
        return day_stats(day, self._days.get(day, {}))

    async def completed_by(self, agent_ids: Sequence[str]) -> dict[str, int]:
        """See JobStore."""
        return {agent_id: self._completed[agent_id] for agent_id in agent_ids}

    def _keep(self, write: JobWrite, stored: Job | None, document: str | None = None) -> None:
        job = write.job
        self._events.keep([*write.creation, *write.events])
        moved = deltas(Footprint.of(stored) if stored else None, job)
        self._documents[job.job_id] = dump_job(job) if document is None else document
        self._queue.update(moved.queue)
        for day, counters in moved.days.items():
            self._days.setdefault(day, Counter()).update(counters)
        if moved.completed_by is not None:
            self._completed[moved.completed_by] += 1


def _place(job: Job) -> tuple[int, str]:
    return (job.created_at, job.job_id)
