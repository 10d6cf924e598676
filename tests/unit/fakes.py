"""Fakes of our own interfaces for tests of the layers above the stores, and jobs to fill them with."""

from collections.abc import Callable, Mapping
from typing import Any

from activities.stores.interfaces import WriteOutcome
from activities.stores.memory.agents import MemoryAgentStore
from activities.stores.memory.events import MemoryEventStore
from workflows.contracts.errors import Unavailable
from workflows.contracts.jobs import Job, JobSpec, new_job
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats

SPEC: Mapping[str, object] = {
    "job_type": "test",
    "git_repo": "https://example.com/shop.git",
    "git_commit_sha": "a" * 40,
    "git_author": "ann@example.com",
}


def make_job(job_id: str = "00000000-0000-0000-0000-000000000001", **changes: object) -> Job:
    job = new_job(JobSpec.model_validate(SPEC), job_id=job_id, now=1_000)
    return job.model_copy(update=changes)


def no_agents() -> MemoryAgentStore:
    """A registry of agents for what is not about them."""
    return MemoryAgentStore(MemoryEventStore())


class Counting:
    """Counts the calls of a function that ``call`` stands for."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.calls = 0

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return function(*args, **kwargs)

        self.call = call


class FakeJobStore:
    """Keeps writes in order and answers what it was told to; ``down`` makes every call raise Unavailable."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.job_id: job for job in jobs}
        self.writes: list[JobWrite] = []
        self.queries: list[JobQuery] = []
        self.stats = QueueStats()
        self.day = DayStats(day="1970-01-01")
        self.page_size = 100
        self.down = False

    async def write(self, write: JobWrite, document: str | None = None) -> WriteOutcome:
        self._answer()
        stored = self.jobs.get(write.job.job_id)
        if stored is not None and stored.sequence >= write.job.sequence:
            return WriteOutcome.STALE
        self.writes.append(write)
        self.jobs[write.job.job_id] = write.job
        return WriteOutcome.APPLIED

    async def get(self, job_id: str) -> Job | None:
        self._answer()
        return self.jobs.get(job_id)

    async def list(self, query: JobQuery) -> JobPage:
        self._answer()
        self.queries.append(query)
        found = sorted(self.jobs.values(), key=lambda job: job.created_at, reverse=True)
        found = [job for job in found if query.status in {None, job.status} and query.pool in {None, job.pool}]
        found = [job for job in found if query.agent_id in {None, job.agent_id}]
        start = int(query.cursor or 0)
        end = start + min(query.limit, self.page_size)
        cursor = str(end) if end < len(found) else None
        return JobPage(items=[job.summary() for job in found[start:end]], next_cursor=cursor)

    async def queue_stats(self) -> QueueStats:
        self._answer()
        return self.stats

    async def day_stats(self, day: str) -> DayStats:
        self._answer()
        return self.day.model_copy(update={"day": day})

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("the fake store is down")
