"""Records and open workflows that say different things of a job, as after a restore of two different moments: one of
the stores, one of Temporal.

Where the workflow knows more, its record is written from it. Where the record knows more, the workflow is of an older
moment: what it would do has been done, or stopped, so it is ended, and nothing runs twice. Nothing here happens in
ordinary work: a workflow writes its record before it goes on. Deliberately not here: workflows that have closed, and
records that never came (``reconcile``).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from activities.bounded import gather_bounded
from activities.clock import Clock
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator, JobWriter
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.errors import HybridCIError, NotFound
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus

logger = logging.getLogger(__name__)

QUIET_MILLIS: Final = 60_000
WHY_ENDED: Final = "its record is of a later moment than this workflow: Temporal was restored from an older backup"


class OpenJobs(Protocol):
    """What open workflows say of their jobs."""

    async def shown(self) -> Mapping[str, str]:
        """The status that each open job's workflow shows, by its id; may lag behind by seconds. Raises Unavailable."""
        ...

    async def state(self, job_id: str) -> Job | None:
        """The job as its workflow has it now; None: it has closed, or does not answer."""
        ...

    async def end(self, job_id: str, why: str) -> None:
        """End the workflow where it stands."""
        ...


@dataclass(frozen=True, slots=True)
class JobComparison:
    """Safe to repeat and to run twice at once: writes are ordered."""

    reader: JobReader
    writer: JobWriter
    creator: JobCreator
    workflows: OpenJobs
    clock: Clock

    async def mend(self, open_records: Mapping[str, JobSummary]) -> list[str]:
        """The ids of the jobs that were put right. A job that cannot be now is left for the next time."""
        suspects = [
            job_id
            for job_id, status in (await self.workflows.shown()).items()
            if job_id not in open_records or open_records[job_id].status != status
        ]
        mended: list[str] = []
        for job_id, answer in zip(suspects, await gather_bounded(self._mend, suspects), strict=True):
            if isinstance(answer, HybridCIError):
                logger.warning("a record was not put right", extra={"job_id": job_id, "because": answer.message})
            elif isinstance(answer, Exception):
                raise answer
            elif answer:
                mended.append(job_id)
        return mended

    async def _mend(self, job_id: str) -> bool:
        try:
            stored = await self.reader.get(job_id)
        except NotFound:
            stored = None
        if stored is not None and not self._is_quiet(stored):
            return False
        state = await self.workflows.state(job_id)
        if state is None or not self._is_quiet(state) or (stored is not None and stored.status is state.status):
            return False
        if stored is None:
            return await self._create(state)
        if state.sequence > stored.sequence:
            return await self._write(state, stored.queue_status)
        if state.sequence == stored.sequence:  # it has changed its mind, and writes it next
            return False
        await self.workflows.end(job_id, WHY_ENDED)
        logger.warning("a workflow of before a restore was ended", extra={"job_id": job_id, "status": stored.status})
        return True

    async def _create(self, state: Job) -> bool:
        if state.queue_status is QueueStatus.QUEUED:
            return await self.creator.create(JobWrite(job=state)) is WriteOutcome.APPLIED
        first = {"status": JobStatus.QUEUED, "queue_status": QueueStatus.QUEUED, "sequence": state.sequence - 1}
        await self.creator.create(JobWrite(job=state.model_copy(update=first)))
        return await self._write(state, QueueStatus.QUEUED)

    async def _write(self, state: Job, previous: QueueStatus) -> bool:
        return await self.writer.write(JobWrite(job=state, previous=previous)) is WriteOutcome.APPLIED

    def _is_quiet(self, job: Job) -> bool:
        times = (job.created_at, job.queued_at, job.started_at, job.completed_at)
        return self.clock() - max(time for time in times if time is not None) >= QUIET_MILLIS
