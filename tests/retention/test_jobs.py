"""Jobs that go, with their logs, artifacts and entries in lists; and those that stay."""

import uuid

import pytest

from activities.retention.walk import Bounds
from activities.stores.dynamo.client import AwsClients
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.open import open_stores
from activities.stores.settings import StoreSettings
from tests.retention.house import DAY, House, days
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus
from workflows.contracts.storage.retention import SweptKind


async def test_what_has_ended_and_is_old_goes_and_nothing_else(house: House) -> None:
    old, failed = await house.job(91), await house.job(400, status=JobStatus.FAILED)
    young, waiting = await house.job(89), await house.job(500, status=JobStatus.QUEUED)
    parked = await house.job(500, status=JobStatus.DEAD_LETTERED)
    ended_late = await house.job(500, ended=5)
    assert await house.sweep(days(jobs=90)) == {SweptKind.JOBS: 2}
    assert not await house.is_there(old)
    assert not await house.is_there(failed)
    for kept in (young, waiting, parked, ended_late):
        assert await house.is_there(kept)
        assert (await house.stores.logs.stored(kept.job_id)).objects == 1
        assert (await house.stores.artifacts.stored(kept.job_id)).objects == 1
    assert await house.sweep(days(jobs=90)) == {}


async def test_without_a_policy_nothing_goes(house: House) -> None:
    old, deployment = await house.job(5000), await house.deployment(5000)
    result = await house.swept(days())
    assert all(each.removed == 0 for each in result.kinds if each.kind is not SweptKind.EXPIRED)
    assert {each.note for each in result.kinds if each.kind is not SweptKind.EXPIRED} == {"kept for ever"}
    assert await house.is_there(old)
    assert await house.has_deployment(deployment)


async def test_counters_stay_what_they_were(house: House) -> None:
    jobs = [await house.job(100 + number) for number in range(4)]
    await house.job(100, status=JobStatus.FAILED)
    await house.job(1)
    before, day = await house.stores.jobs.queue_stats(), "2028-05-10"
    of_day = await house.stores.jobs.day_stats(day)
    by_agent = await house.stores.jobs.completed_by(["a"])
    assert await house.sweep(days(jobs=30)) == {SweptKind.JOBS: 5}
    assert await house.stores.jobs.queue_stats() == before
    assert before.total == 6
    assert await house.stores.jobs.day_stats(day) == of_day
    assert await house.stores.jobs.completed_by(["a"]) == by_agent == {"a": 5}
    assert len(await house.all_ids(JobQuery(status=JobStatus.SUCCESS))) == 1
    assert [await house.is_there(job) for job in jobs] == [False] * 4


async def test_a_page_goes_on_behind_rows_that_vanished(house: House) -> None:
    kept = [await house.job(10 + number) for number in range(5)]
    for number in range(5):
        await house.job(100 + number)
    first = await house.stores.jobs.list(JobQuery(limit=3))
    await house.sweep(days(jobs=90))
    query = JobQuery(limit=3, cursor=first.next_cursor)
    rest = await house.all_ids(query)
    assert {each.job_id for each in first.items} | rest == {job.job_id for job in kept}


async def test_a_job_that_changed_since_it_was_read_stays(house: House) -> None:
    job = await house.job(100)
    changed = job.model_copy(update={"sequence": 3, "tags": ["late"]})
    assert await house.stores.jobs.write(JobWrite(job=changed, previous=QueueStatus.COMPLETED)) is WriteOutcome.APPLIED
    assert not await house.stores.jobs.remove(job)
    assert await house.stores.jobs.get(job.job_id) == changed
    assert await house.stores.jobs.remove(changed)
    assert await house.stores.jobs.remove(changed), "repeating it is harmless"
    assert await house.stores.jobs.get(job.job_id) is None


async def test_a_log_goes_and_its_record_says_so(house: House) -> None:
    job, young = await house.job(40), await house.job(20)
    assert await house.sweep(days(logs=30, artifacts=35)) == {SweptKind.LOGS: 1, SweptKind.ARTIFACTS: 1}
    read = await house.stores.jobs.get(job.job_id)
    assert read is not None
    assert (read.logs_removed_at, read.artifacts_removed_at) == (house.now, house.now)
    assert (
        read.model_copy(update={"logs_removed_at": None, "artifacts_removed_at": None, "sequence": job.sequence}) == job
    )
    assert (await house.stores.logs.stored(job.job_id)).objects == 0
    assert (await house.stores.artifacts.stored(job.job_id)).objects == 0
    assert (await house.stores.logs.stored(young.job_id)).objects == 1
    assert (await house.stores.jobs.queue_stats()).completed == 2
    assert await house.is_there(job)
    assert await house.sweep(days(logs=30, artifacts=35)) == {}
    assert await house.sweep(days(jobs=35, logs=30)) == {SweptKind.JOBS: 1}, "the whole job, when its own time has come"


async def test_a_log_has_gone_with_its_bytes_counted(house: House) -> None:
    await house.job(40)
    result = await house.swept(days(jobs=30))
    (jobs,) = [each for each in result.kinds if each.kind is SweptKind.JOBS]
    assert jobs.objects == 2
    assert jobs.size >= len(b"hello\n") + len(b"bytes")
    assert jobs.words().startswith("jobs: 1 looked at, 1 removed, 2 objects with ")


@pytest.mark.parametrize("front", [1, 3, 100])
async def test_a_sweep_is_bounded_and_the_next_one_goes_on(house: House, front: int) -> None:
    jobs = [await house.job(200 - number) for number in range(7)]
    left = [await house.job(300, status=JobStatus.DEAD_LETTERED), await house.job(300, ended=1)]
    bounds, sweeps = Bounds(front=front, again=1), 0
    while [job for job in jobs if await house.is_there(job)]:
        result = await house.swept(days(jobs=90), bounds=bounds)
        assert all(each.looked_at <= front + 1 for each in result.kinds)
        sweeps += 1
        assert sweeps < 20
    assert sweeps == {1: 9, 3: 3, 100: 1}[front], "oldest first, each looked at once"
    assert [await house.is_there(job) for job in left] == [True, True]


async def test_what_stayed_is_looked_at_again(house: House) -> None:
    stays = [await house.job(300 - number, status=JobStatus.DEAD_LETTERED) for number in range(4)]
    late = await house.job(250, ended=50)
    bounds = Bounds(front=100, again=2)
    assert await house.sweep(days(jobs=90), bounds=bounds) == {}
    house.now += 60 * DAY
    went = [await house.sweep(days(jobs=90), bounds=bounds) for _ in range(4)]
    assert went.count({SweptKind.JOBS: 1}) == 1
    assert not await house.is_there(late)
    assert all([await house.is_there(job) for job in stays])


async def test_no_list_of_the_table_has_an_entry_left(aws_endpoint: str) -> None:
    """Whatever lists its writer has put it into. Which commit a version is stays said."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    settings = StoreSettings(environment=name, dynamodb_endpoint_url=aws_endpoint, s3_endpoint_url=aws_endpoint)
    stores, clients = open_stores(settings), AwsClients(settings)
    await stores.prepare()
    house = House(stores)
    labels = {"service": "checkout", "team": "a"}
    jobs = [await house.job(100, git_ref="main", labels=labels), await house.job(100, status=JobStatus.FAILED)]
    deployment = await house.deployment(100)
    gone = [*(job.job_id for job in jobs), *deployment.stages[0].job_ids, deployment.deployment_id]
    await house.sweep(days(jobs=90, deployments=90))
    own = (settings.jobs_table, settings.job_lists_table, settings.deployments_table, settings.deployment_lists_table)
    for table in own:
        items = clients.dynamodb.scan(TableName=table)["Items"]
        items = [item for item in items if item.get("list_shard") != {"S": "versions#checkout"}]
        assert [item for item in items if any(each in str(item) for each in gone)] == [], table
    clients.close()
    stores.close()
