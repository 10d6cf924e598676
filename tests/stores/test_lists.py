"""The contract of JobStore: lists show every job once, newest first, however they are paged."""

import asyncio
import base64
import json
from collections.abc import Sequence

import pytest

from activities.stores.interfaces.jobs import JobStore
from tests.stores.lives import NOON, make_job
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus


async def store(jobs: JobStore, made: Sequence[Job]) -> None:
    await asyncio.gather(*(jobs.write(JobWrite(job=job)) for job in made))


async def pages(jobs: JobStore, query: JobQuery) -> list[list[JobSummary]]:
    found: list[list[JobSummary]] = []
    while True:
        page = await jobs.list(query)
        assert len(page.items) <= query.limit
        found.append(page.items)
        if page.next_cursor is None:
            return found
        assert len(found) < 100, "the list does not end"
        query = query.model_copy(update={"cursor": page.next_cursor})


def ids(found: Sequence[Sequence[JobSummary]]) -> list[str]:
    return [item.job_id for page in found for item in page]


@pytest.mark.parametrize("limit", [2, 100])
async def test_every_job_is_shown_once_newest_first(jobs: JobStore, limit: int) -> None:
    made = [make_job(created_at=NOON - number**3) for number in range(17)]
    await store(jobs, made)
    found = await pages(jobs, JobQuery(limit=limit))
    assert ids(found) == [job.job_id for job in made]
    assert found[0][0] == made[0].summary()


async def test_jobs_of_the_same_millisecond_are_neither_lost_nor_repeated(jobs: JobStore) -> None:
    made = [make_job(created_at=NOON + number // 15) for number in range(40)]
    await store(jobs, made)
    found = await pages(jobs, JobQuery(limit=7))
    assert sorted(ids(found)) == sorted(job.job_id for job in made)
    times = [item.created_at for page in found for item in page]
    assert times == sorted(times, reverse=True)


async def test_filters_choose_the_same_jobs_as_a_look_at_each(jobs: JobStore) -> None:
    states = [(JobStatus.QUEUED, QueueStatus.QUEUED), (JobStatus.RUNNING, QueueStatus.RUNNING)]
    made = [
        make_job(
            created_at=NOON + number,
            status=states[number % 2][0],
            queue_status=states[number % 2][1],
            pool=f"pool-{number % 3}",
            job_type=f"type-{number % 4}",
            agent_id=None if number % 5 == 0 else f"agent/{number % 5}",
        )
        for number in range(24)
    ]
    await store(jobs, made)
    queries: list[dict[str, str]] = [
        {"status": "running"},
        {"agent_id": "agent/1"},
        {"agent_id": "nobody"},
        {"pool": "pool-1"},
        {"pool": "pool-1", "job_type": "type-2"},
        {"status": "queued", "pool": "pool-0"},
        {"agent_id": "agent/2", "status": "running"},
        {"agent_id": "agent/2", "status": "success"},
        {"status": "dead_lettered"},
    ]
    for filters in queries:
        found = await pages(jobs, JobQuery.model_validate({**filters, "limit": 5}))
        wanted = [job.job_id for job in reversed(made) if all(getattr(job, k) == v for k, v in filters.items())]
        assert ids(found) == wanted, filters


async def test_a_job_is_listed_as_it_was_last_written(jobs: JobStore) -> None:
    created = make_job()
    claimed = {"status": JobStatus.RUNNING, "queue_status": QueueStatus.RUNNING, "agent_id": "a", "sequence": 2}
    await jobs.write(JobWrite(job=created))
    await jobs.write(JobWrite(job=created.model_copy(update=claimed), previous=QueueStatus.QUEUED))
    assert ids(await pages(jobs, JobQuery(status=JobStatus.QUEUED))) == []
    assert ids(await pages(jobs, JobQuery(status=JobStatus.RUNNING))) == [created.job_id]
    assert ids(await pages(jobs, JobQuery(agent_id="a"))) == [created.job_id]
    assert (await jobs.list(JobQuery())).items[0].agent_id == "a"


async def test_what_is_created_while_somebody_pages_does_not_disturb_the_pages(jobs: JobStore) -> None:
    made = [make_job(created_at=NOON - number) for number in range(12)]
    await store(jobs, made)
    first = await jobs.list(JobQuery(limit=2))
    await store(jobs, [make_job(created_at=NOON + number) for number in range(1, 9)])
    rest = await pages(jobs, JobQuery(limit=2, cursor=first.next_cursor))
    assert ids([first.items, *rest]) == [job.job_id for job in made]


async def test_lists_are_right_however_unevenly_jobs_were_created(jobs: JobStore) -> None:
    """Bursts and years of silence: what the store learns from one page must not mislead the next."""
    year = 365 * 24 * 3600 * 1000
    times = [NOON - burst * year // 3 - number for burst in range(3) for number in range(8)]
    made = [make_job(created_at=at) for at in times]
    await store(jobs, made)
    for limit in (100, 5):
        assert ids(await pages(jobs, JobQuery(limit=limit))) == [job.job_id for job in made]
    await store(jobs, [newer := make_job(created_at=NOON + year)])
    assert ids(await pages(jobs, JobQuery(limit=100))) == [newer.job_id, *(job.job_id for job in made)]


def forged(**fields: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


async def test_a_cursor_of_another_list_is_refused(jobs: JobStore) -> None:
    await store(jobs, [make_job(created_at=NOON + number) for number in range(5)])
    cursor = (await jobs.list(JobQuery(limit=2, status=JobStatus.QUEUED))).next_cursor
    assert cursor is not None
    assert (await jobs.list(JobQuery(limit=3, status=JobStatus.QUEUED, cursor=cursor))).items
    for other in (JobQuery(cursor=cursor), JobQuery(status=JobStatus.QUEUED, pool="default", cursor=cursor)):
        await refused(jobs, other)


async def test_garbage_is_no_cursor(jobs: JobStore) -> None:
    places = [forged(), forged(q="x"), forged(q="", at=-1), forged(q="", s={"99": [1, "x"]}), forged(q="", s={"9": 1})]
    for cursor in ("", "x", "ü", "A" * 10_000, "bnVsbA", *places):
        await refused(jobs, JobQuery(cursor=cursor))


async def refused(jobs: JobStore, query: JobQuery) -> None:
    with pytest.raises(ValidationFailed) as error:
        await jobs.list(query)
    assert [bad.field for bad in error.value.errors] == ["cursor"]
