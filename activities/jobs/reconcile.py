"""Closing the records whose workflow was closed behind our back: terminated in the Temporal UI, failed, or deleted; and
having those created whose API died between a job's start and its record.

A live workflow writes its own record; this is only for those that no longer can, or have had nothing to write yet. What
Temporal says is behind the ``JobWorkflows`` protocol, so that the rules here are tested without it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from activities.bounded import gather_bounded
from activities.clock import Clock
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobWriter
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.commands import ReconcileResult
from workflows.contracts.errors import NotFound, Unavailable
from workflows.contracts.jobs import Attempt, Job, JobSummary
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

logger = logging.getLogger(__name__)

QUIET_MILLIS: Final = 60_000
"""A record younger than this is left alone: its workflow may be writing it right now."""
CAUSE: Final = "workflow_terminated"
_OPEN: Final = (JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.PENDING, JobStatus.DEAD_LETTERED)
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class ClosedWorkflow:
    """How a job's workflow ended. ``result`` is set when it ended by itself; ``how`` is a word for people.

    ``ending``: somebody has ended it on purpose.
    """

    how: str
    result: Job | None = None
    ending: "Ending | None" = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a workflow was ended on purpose: the record's cause, and a sentence."""

    cause: str
    why: str


class JobWorkflows(Protocol):
    """What Temporal knows of the jobs' workflows."""

    async def open_job_ids(self) -> set[str]:
        """The jobs whose workflow runs; may lag behind by seconds. Raises Unavailable."""
        ...

    async def closed(self, job_id: str) -> ClosedWorkflow | None:
        """How the workflow ended, or None while it runs; one that is unknown was deleted. Raises Unavailable."""
        ...

    async def create_record(self, job_id: str) -> bool:
        """Have the workflow create its record. False: it has ended meanwhile. Raises Unavailable."""
        ...


class Reconciler:
    """Compares open records with their workflows. Safe to repeat and to run twice at once: writes are ordered."""

    def __init__(
        self,
        reader: JobReader,
        writer: JobWriter,
        workflows: JobWorkflows,
        clock: Clock,
        mend: Callable[[Mapping[str, JobSummary]], Awaitable[list[str]]] | None = None,
    ) -> None:
        """``mend``: puts right what open records and open workflows say differently (``comparing``)."""
        self._mend = mend
        self._reader = reader
        self._writer = writer
        self._workflows = workflows
        self._clock = clock

    async def run(self, progress: Callable[[int], None]) -> ReconcileResult:
        """One comparison of all that is open; ``progress`` gets the number of records compared. Raises Unavailable.

        On the way, what waiting jobs demand of agents is kept from expiring.
        """
        checked, closed, recorded = 0, list[str](), dict[str, JobSummary]()
        running = await self._workflows.open_job_ids()
        for status in _OPEN:
            cursor: str | None = None
            while True:
                page = await self._reader.list(JobQuery(status=status, limit=_PAGE, cursor=cursor))
                checked, cursor = checked + len(page.items), page.next_cursor
                recorded.update((job.job_id, job) for job in page.items)
                suspects = [job.job_id for job in page.items if job.job_id not in running and self._is_quiet(job)]
                closed += await _changed(self._repair, suspects)
                await self._writer.refresh_demands(page.items)
                progress(checked)
                if cursor is None:
                    break
        created = await _changed(self._create, sorted(running - recorded.keys()))
        if self._mend is not None:
            await self._mend(recorded)
        return ReconcileResult(checked=checked, closed=closed, created=created)

    async def close(self, job_id: str, ending: Ending) -> bool:
        """Close the record of a job whose workflow was just ended. False: it is closed already. Raises Unavailable."""
        return await self._repair(job_id, ending) is not None

    async def _create(self, job_id: str) -> str | None:
        """The id when its record was created. Most of those asked about have ended, or begun, since we looked.

        A workflow that does not answer is left for the next run: it must not hold up the others.
        """
        try:
            await self._reader.get(job_id)
        except NotFound:
            try:
                return job_id if await self._workflows.create_record(job_id) else None
            except Unavailable as error:
                logger.warning("a record is missing", extra={"job_id": job_id, "because": error.message})
        return None

    async def _repair(self, job_id: str, ending: Ending | None = None) -> str | None:
        """The id when its record was closed."""
        ended = await self._workflows.closed(job_id)
        if ended is None:
            return None
        ended = replace(ended, ending=ending)
        try:
            stored = await self._reader.get(job_id)
        except NotFound:  # the record expired between the list and now
            return None
        if stored.status.final:  # the index lagged behind
            return None
        write = JobWrite(job=_closed(stored, ended, self._clock()), previous=stored.queue_status)
        outcome = await self._writer.write(write)
        return job_id if outcome is WriteOutcome.APPLIED else None

    def _is_quiet(self, job: JobSummary) -> bool:
        times = (job.created_at, job.queued_at, job.started_at, job.completed_at)
        return self._clock() - max(time for time in times if time is not None) >= QUIET_MILLIS


async def _changed(change: Callable[[str], Awaitable[str | None]], job_ids: list[str]) -> list[str]:
    """The ids that ``change`` returned. Raises what it raised."""
    changed: list[str] = []
    for answer in await gather_bounded(change, job_ids):
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            changed.append(answer)
    return changed


def _closed(stored: Job, ended: ClosedWorkflow, now: int) -> Job:
    if ended.result is not None and ended.result.status.final:
        return ended.result.model_copy(update={"sequence": max(ended.result.sequence, stored.sequence + 1)})
    cause = ended.ending.cause if ended.ending else CAUSE
    why = ended.ending.why if ended.ending else f"The job's workflow was {ended.how} in Temporal"
    message = f"{why}, so nothing runs the job any more. To run it again: hybridci job retry {stored.job_id}"
    changes: Mapping[str, object] = {
        "status": JobStatus.ERROR,
        "queue_status": QueueStatus.FAILED,
        "completed_at": now,
        "duration_seconds": None if stored.started_at is None else max(0, now - stored.started_at) / 1000,
        "next_attempt_at": None,
        "lease_expires_at": None,
        "cause": cause,
        "error_message": message,
        "attempts": [_ended_attempt(attempt, cause, message, now) for attempt in stored.attempts],
        "sequence": stored.sequence + 1,
    }
    return stored.model_copy(update=changes)


def _ended_attempt(attempt: Attempt, cause: str, message: str, now: int) -> Attempt:
    """Its agent finds out at the next renewal of its lease and ends it."""
    if attempt.finished_at is not None:
        return attempt
    changes = {"finished_at": now, "outcome": Outcome.CANCELLED, "cause": cause, "message": message}
    return attempt.model_copy(update=changes)
