"""What a store of jobs does."""

import builtins
from collections.abc import Sequence
from typing import Protocol

from activities.stores.interfaces.writes import Placed, WriteOutcome
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats


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
