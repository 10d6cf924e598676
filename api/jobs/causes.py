"""Dead letters by cause: how many, since when, and one to look at. Deliberately not here: the list itself."""

from collections.abc import Callable
from typing import Final

from activities.jobs.readers import JobReader
from workflows.contracts.base import Frozen
from workflows.contracts.jobs import JobSummary
from workflows.contracts.records import JobPage, JobQuery

_PAGE: Final = 100
_MOST_PAGES: Final = 10
"""So that an answer costs a bounded time; whoever has more dead letters looks at the newest first."""


class DeadLetterCause(Frozen):
    """One cause. ``first_at`` and ``last_at``: when the first and the last of these were parked (ms); ``example`` is
    the last.
    """

    cause: str | None
    count: int
    first_at: int
    last_at: int
    example: JobSummary


class DeadLetterCauses(Frozen):
    """All causes; of the newest dead letters only where ``stopped_early``."""

    items: list[DeadLetterCause]
    count: int
    stopped_early: bool = False


async def causes_of(reader: JobReader, query: JobQuery, reached: Callable[[JobPage], JobPage]) -> DeadLetterCauses:
    """Of the jobs that the query means and the caller reaches. Raises ValidationFailed, Unavailable."""
    found: dict[str | None, list[JobSummary]] = {}
    for number in range(_MOST_PAGES):
        page = await reader.list(query.model_copy(update={"limit": _PAGE}))
        for job in reached(page).items:
            found.setdefault(job.cause, []).append(job)
        query = query.model_copy(update={"cursor": page.next_cursor})
        if page.next_cursor is None or number == _MOST_PAGES - 1:
            break
    items = sorted(
        (_cause(cause, jobs) for cause, jobs in found.items()), key=lambda each: (-each.count, -each.last_at)
    )
    return DeadLetterCauses(
        items=items, count=sum(each.count for each in items), stopped_early=query.cursor is not None
    )


def _cause(cause: str | None, jobs: list[JobSummary]) -> DeadLetterCause:
    times = [_parked_at(job) for job in jobs]
    example = max(jobs, key=_parked_at)
    return DeadLetterCause(cause=cause, count=len(jobs), first_at=min(times), last_at=max(times), example=example)


def _parked_at(job: JobSummary) -> int:
    return job.completed_at or job.started_at or job.created_at
