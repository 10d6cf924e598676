"""The read side for the API: what can be asked about jobs, answered by the read chains.

Deliberately not here: anything that changes state (that goes through a workflow) and logs or artifacts (the stores).
"""

import time
from collections.abc import Callable

from activities.stores.interfaces import JobStore
from workflows.contracts.base import Frozen
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.records import DayStats, JobPage, JobQuery, QueueStats

RECENT_JOBS = 5

Clock = Callable[[], int]
"""Epoch milliseconds."""


def epoch_millis() -> int:
    """The system's clock."""
    return time.time_ns() // 1_000_000


class JobsOverview(Frozen):
    """The jobs' part of ``GET /api/dashboard/summary``. ``jobs_failed_today`` counts the day in UTC."""

    total_jobs: int
    jobs_running: int
    jobs_completed: int
    jobs_failed: int
    jobs_failed_today: int
    recent_jobs: list[JobSummary]


class JobReader:
    """Reads job records. Safe for concurrent use. Every method raises Unavailable when the store does not answer."""

    def __init__(self, store: JobStore, *, clock: Clock = epoch_millis) -> None:
        self._store = store
        self._clock = clock

    async def get(self, job_id: str) -> Job:
        """The record as last written. Raises NotFound."""
        raise NotImplementedError

    async def list(self, query: JobQuery) -> JobPage:
        """One page of a list. Raises ValidationFailed for a cursor that this query did not hand out."""
        raise NotImplementedError

    async def running(self, limit: int = 50, cursor: str | None = None) -> JobPage:
        """The jobs an agent is working on, newest first. Raises like ``list``."""
        raise NotImplementedError

    async def by_agent(self, agent_id: str, limit: int = 50, cursor: str | None = None) -> JobPage:
        """The jobs whose latest attempt an agent ran, newest first. Raises like ``list``."""
        raise NotImplementedError

    async def queue_stats(self) -> QueueStats:
        """The queue in numbers."""
        raise NotImplementedError

    async def day_stats(self, day: str) -> DayStats:
        """One day's counters; ``day`` is ``YYYY-MM-DD`` in UTC. Raises ValidationFailed for anything else."""
        raise NotImplementedError

    async def overview(self) -> JobsOverview:
        """The numbers and the newest jobs for the dashboard's first page."""
        raise NotImplementedError
