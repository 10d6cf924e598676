"""The read side for the API: what can be asked about jobs, answered by the read chains.

Deliberately not here: anything that changes state (that goes through a workflow) and logs or artifacts (the stores).
"""

import asyncio
import builtins
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from codeuchain import Middleware

from activities.chaining.chains import NamedChain
from activities.chaining.middleware import ObserveChain
from activities.chaining.once import read_chain
from activities.clock import Clock, epoch_millis
from activities.jobs.chains import (
    build_completed_by_chain,
    build_day_stats_chain,
    build_list_jobs_chain,
    build_list_running_jobs_chain,
    build_queue_stats_chain,
    build_retrieve_job_chain,
)
from activities.jobs.history import days_of, queue_history
from activities.stores.interfaces.jobs import JobStore
from workflows.contracts.base import Frozen
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.records import DayStats, JobPage, JobQuery, QueueHistory, QueueStats

RECENT_JOBS = 5
_COUNTS = cast("type[dict[str, int]]", dict)


class JobsOverview(Frozen):
    """The jobs' part of ``GET /api/dashboard/summary``. ``jobs_failed_today`` counts the day in UTC."""

    total_jobs: int
    jobs_running: int
    jobs_completed: int
    jobs_failed: int
    jobs_failed_today: int
    jobs_queued: int
    jobs_dead_lettered: int
    recent_jobs: list[JobSummary]


class JobReader:
    """Reads job records. Safe for concurrent use. Every method raises Unavailable when the store does not answer."""

    def __init__(
        self, store: JobStore, *, clock: Clock = epoch_millis, middleware: Sequence[Middleware] | None = None
    ) -> None:
        hooks = [ObserveChain()] if middleware is None else middleware
        self._clock = clock
        self._retrieve = build_retrieve_job_chain(store, hooks)
        self._list = build_list_jobs_chain(store, hooks)
        self._running = build_list_running_jobs_chain(store, hooks)
        self._queue_stats = build_queue_stats_chain(store, hooks)
        self._day_stats = build_day_stats_chain(store, hooks)
        self._completed_by = build_completed_by_chain(store, hooks)

    async def get(self, job_id: str) -> Job:
        """The record as last written. Raises NotFound."""
        return await read_chain(self._retrieve, {"job_id": job_id}, result="job", kind=Job)

    async def list(self, query: JobQuery) -> JobPage:
        """One page of a list. Raises ValidationFailed for a cursor that this query did not hand out."""
        return await self._page(self._list, query)

    async def running(self, limit: int = 50, cursor: str | None = None) -> JobPage:
        """The jobs an agent is working on, newest first. Raises like ``list``."""
        return await self._page(self._running, JobQuery(limit=limit, cursor=cursor))

    async def by_agent(self, agent_id: str, limit: int = 50, cursor: str | None = None) -> JobPage:
        """The jobs whose latest attempt an agent ran, newest first. Raises like ``list``."""
        return await self.list(JobQuery(agent_id=agent_id, limit=limit, cursor=cursor))

    async def queue_stats(self) -> QueueStats:
        """The queue in numbers."""
        return await read_chain(self._queue_stats, {}, result="queue_stats", kind=QueueStats)

    async def day_stats(self, day: str) -> DayStats:
        """One day's counters; ``day`` is ``YYYY-MM-DD`` in UTC. Raises ValidationFailed for anything else."""
        return await read_chain(self._day_stats, {"day": day}, result="day_stats", kind=DayStats)

    async def history(self, hours: int) -> QueueHistory:
        """The last hours, the present one with them, from two or three days' counters."""
        now = self._clock()
        wanted = asyncio.gather(*map(self.day_stats, days_of(now, hours)))
        stats, days = await asyncio.gather(self.queue_stats(), wanted)
        return queue_history(stats, days, now, hours)

    async def completed_by(self, agent_ids: Sequence[str]) -> dict[str, int]:
        """How many jobs each of these agents has completed."""
        asked = {"agent_ids": [*agent_ids]}
        return await read_chain(self._completed_by, asked, result="completed_by", kind=_COUNTS)

    async def overview(self, recent: int = RECENT_JOBS) -> JobsOverview:
        """The numbers and so many of the newest jobs for the dashboard's first page."""
        today = datetime.fromtimestamp(self._clock() / 1000, UTC).date().isoformat()
        stats, day, jobs = await asyncio.gather(self.queue_stats(), self.day_stats(today), self._recent(recent))
        return JobsOverview(
            total_jobs=stats.total,
            jobs_running=stats.running,
            jobs_completed=stats.completed,
            jobs_failed=stats.failed,
            jobs_failed_today=day.failed,
            jobs_queued=stats.depth,
            jobs_dead_lettered=stats.dead_lettered,
            recent_jobs=jobs,
        )

    async def _recent(self, count: int) -> builtins.list[JobSummary]:
        return (await self.list(JobQuery(limit=count))).items if count else []

    async def _page(self, chain: NamedChain, query: JobQuery) -> JobPage:
        return await read_chain(chain, {"query": query}, result="page", kind=JobPage)
