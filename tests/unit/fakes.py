"""Fakes of our own interfaces for tests of the layers above the stores, and jobs to fill them with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from activities.stores.documents import load_job
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.memory.agents import MemoryAgentStore
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.jobs import MemoryJobStore
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


class FakeJobStore(MemoryJobStore):
    """The memory store with these records in it. ``writes`` and ``queries`` are what was asked of it, in order.

    ``page_size`` shortens its pages; ``down`` makes every call raise Unavailable.
    """

    def __init__(self, *jobs: Job) -> None:
        super().__init__(MemoryEventStore())
        self.writes: list[JobWrite] = []
        self.queries: list[JobQuery] = []
        self.page_size = 100
        self.down = False
        for job in jobs:
            self.hold(job)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """All records by id."""
        return {job_id: load_job(document) for job_id, document in self._documents.items()}

    def hold(self, job: Job) -> None:
        """Have this record, whatever was there."""
        self._keep(JobWrite(job=job), self.jobs.get(job.job_id))

    async def write(self, write: JobWrite, document: str | None = None) -> WriteOutcome:
        self._answer()
        outcome = await super().write(write, document)
        if outcome is WriteOutcome.APPLIED:
            self.writes.append(write)
        return outcome

    async def get(self, job_id: str) -> Job | None:
        self._answer()
        return await super().get(job_id)

    async def list(self, query: JobQuery) -> JobPage:
        self._answer()
        self.queries.append(query)
        return await super().list(query.model_copy(update={"limit": min(query.limit, self.page_size)}))

    async def queue_stats(self) -> QueueStats:
        self._answer()
        return await super().queue_stats()

    async def day_stats(self, day: str) -> DayStats:
        self._answer()
        return await super().day_stats(day)

    async def completed_by(self, agent_ids: Sequence[str]) -> dict[str, int]:
        self._answer()
        return await super().completed_by(agent_ids)

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("the fake store is down")
