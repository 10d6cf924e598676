"""Choosing, redriving and awaiting many dead letters: the bodies behind three activities of ``RedriveWorkflow``.

Deliberately not here: anything of Temporal's activity context; progress goes out through a callback.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from activities.bounded import AT_ONCE, gather_bounded
from activities.jobs.readers import JobReader
from workflows.contracts.commands import DeadLetterFilter, Redrive
from workflows.contracts.errors import HybridCIError, InvalidState, NotFound
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.records import JobQuery, RedriveJobs, RedriveJobsResult, SelectDeadLetters
from workflows.contracts.statuses import JobStatus
from workflows.contracts.who import Who
from workflows.job.record import deployment_of, moved_by_its_deployment

_PAGE: Final = 100
_FIRST_POLL_SECONDS: Final = 0.5
_LONGEST_POLL_SECONDS: Final = 5.0

RedriveJob = Callable[[str, Redrive, str | None], Awaitable[Job]]
"""``JobClient.redrive``: job id, command, update id."""


async def select(reader: JobReader, request: SelectDeadLetters, progress: Callable[[int], None]) -> list[str]:
    """The ids of matching dead letters, oldest first, ``limit`` at most. ``progress`` gets the number looked at.

    Raises Unavailable.
    """
    if request.filter.job_ids is not None:
        return await _select_named(reader, request)
    oldest: deque[str] = deque(maxlen=request.limit)  # lists are newest first: what was seen last is oldest
    looked_at, cursor = 0, None
    while True:
        query = JobQuery(
            status=JobStatus.DEAD_LETTERED,
            pool=request.filter.pool,
            job_type=request.filter.job_type,
            cause=request.filter.cause,
            service=request.filter.service,
            since=request.filter.since,
            until=request.filter.until,
            limit=_PAGE,
            cursor=cursor,
        )
        page = await reader.list(query)
        oldest.extend(await _matching(reader, page.items, request.filter))
        looked_at, cursor = looked_at + len(page.items), page.next_cursor
        progress(looked_at)
        if cursor is None:
            return list(reversed(oldest))


async def redrive(
    reader: JobReader,
    redrive_job: RedriveJob,
    request: RedriveJobs,
    who: Who,
    done: RedriveJobsResult,
    progress: Callable[[RedriveJobsResult], None],
) -> RedriveJobsResult:
    """Send each job that is not in ``done`` its redrive, as ``who`` asked; a refusal is a result. ``progress`` gets
    each batch's state.

    A deployment's job is left out: it runs again inside its deployment's turn, which nobody looks at here. Raises the
    first error that trying again can mend, once its batch is through, so that ``progress`` knows the rest.
    """
    command = Redrive(edit=request.edit, reason=request.reason, **who.model_dump())

    async def one(job_id: str) -> Job:
        await _require_free(reader, job_id)
        return await redrive_job(job_id, command, request.redrive_id)

    handled = {*done.redriven, *done.refused}
    waiting = [job_id for job_id in request.job_ids if job_id not in handled]
    for start in range(0, len(waiting), AT_ONCE):
        batch = waiting[start : start + AT_ONCE]
        answers = await gather_bounded(one, batch)
        troubles: list[Exception] = []
        for job_id, answer in zip(batch, answers, strict=True):
            if isinstance(answer, HybridCIError) and not answer.retryable:
                left_out = done.of_deployments + isinstance(answer, _OfADeploymentError)
                refused = {**done.refused, job_id: answer.message}
                done = done.model_copy(update={"refused": refused, "of_deployments": left_out})
            elif isinstance(answer, Exception):
                troubles.append(answer)
            else:
                done = done.model_copy(update={"redriven": [*done.redriven, job_id]})
        progress(done)
        if troubles:
            raise troubles[0]
    return done


async def await_ended(reader: JobReader, job_ids: list[str], progress: Callable[[int], None]) -> dict[str, JobStatus]:
    """Wait until each has ended (final or parked again). ``progress`` gets the number still open, at each look.

    Raises NotFound for a job without a record, Unavailable.
    """
    ended: dict[str, JobStatus] = {}
    pause = _FIRST_POLL_SECONDS
    while True:
        still_open = [job_id for job_id in job_ids if job_id not in ended]
        for answer in await gather_bounded(reader.get, still_open):
            if isinstance(answer, Exception):
                raise answer
            if answer.status.ended:
                ended[answer.job_id] = answer.status
        progress(len(set(job_ids)) - len(ended))
        if len(ended) == len(set(job_ids)):
            return ended
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


class _OfADeploymentError(InvalidState):
    """It is left to its deployment."""


async def _require_free(reader: JobReader, job_id: str) -> None:
    """Raises _OfADeploymentError, Unavailable."""
    try:
        job = await reader.get(job_id)
    except NotFound:  # its workflow answers for itself
        return
    if deployment_of(job) is not None:
        alone = f" An operator may run it again as it is, alone: `hybridci dlq redrive {job_id}`."
        raise _OfADeploymentError(moved_by_its_deployment(job) + alone)


async def _select_named(reader: JobReader, request: SelectDeadLetters) -> list[str]:
    found: list[Job] = []
    for answer in await gather_bounded(reader.get, sorted(set(request.filter.job_ids or []))):
        if isinstance(answer, Job):
            found.append(answer)
        elif not isinstance(answer, NotFound):
            raise answer
    found.sort(key=lambda job: job.created_at)
    wanted = [job.job_id for job in found if _matches(job.summary(), request.filter) and _has_outcome(job, request)]
    return wanted[: request.limit]


async def _matching(reader: JobReader, jobs: list[JobSummary], wanted: DeadLetterFilter) -> list[str]:
    """In the order given. Outcomes are in the whole record only, so they cost a read for each job."""
    matching = [job.job_id for job in jobs if _matches(job, wanted)]
    if wanted.outcome is None:
        return matching
    chosen: list[str] = []
    for answer in await gather_bounded(reader.get, matching):
        if isinstance(answer, Exception):
            raise answer
        if answer.attempts and answer.attempts[-1].outcome is wanted.outcome:
            chosen.append(answer.job_id)
    return chosen


def _matches(job: JobSummary, wanted: DeadLetterFilter) -> bool:
    return (
        job.status is JobStatus.DEAD_LETTERED
        and wanted.pool in {None, job.pool}
        and wanted.job_type in {None, job.job_type}
        and wanted.git_repo in {None, job.git_repo}
        and wanted.cause in {None, job.cause}
        and wanted.service in {None, job.service}
        and (wanted.since or 0) <= job.created_at <= (job.created_at if wanted.until is None else wanted.until)
    )


def _has_outcome(job: Job, request: SelectDeadLetters) -> bool:
    outcome = request.filter.outcome
    return outcome is None or (bool(job.attempts) and job.attempts[-1].outcome is outcome)
