"""The contract of JobStore: statistics are exact, whatever is repeated, reordered or done at the same time."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.items import RecordWrite
from activities.stores.dynamo.jobs import DynamoJobStore
from activities.stores.dynamo.table import JobTables
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.statistics import Footprint
from tests.stores.lives import NOON, Life, counted, lives, make_job
from workflows.contracts.records import DayStats, HourStats, JobQuery, JobWrite, QueueStats
from workflows.contracts.statuses import JobStatus, QueueStatus


@pytest.mark.parametrize("seed", [1, 2])
async def test_counters_are_exact_under_concurrency_and_repeats(jobs: JobStore, seed: int) -> None:
    made = lives(seed, count=8, steps=8)

    async def live(life: Life) -> None:
        chance = random.Random(life.job.job_id)
        for write in life.writes:
            outcomes = await asyncio.gather(*(jobs.write(write) for _ in range(chance.choice([1, 1, 2]))))
            assert outcomes.count(WriteOutcome.APPLIED) == 1
            late = chance.choice(life.writes[: life.writes.index(write) + 1])
            assert await jobs.write(late) is WriteOutcome.STALE

    await asyncio.gather(*(live(life) for life in made))
    records = [life.job for life in made]
    assert await jobs.queue_stats() == counted(records)
    for status in JobStatus:
        found = (await jobs.list(JobQuery(status=status))).items
        assert {item.job_id for item in found} == {job.job_id for job in records if job.status is status}
    for agent in {job.agent_id for job in records if job.agent_id}:
        found = (await jobs.list(JobQuery(agent_id=agent))).items
        assert {item.job_id for item in found} == {job.job_id for job in records if job.agent_id == agent}
    agents = {job.agent_id for job in records if job.agent_id}
    completed = Counter(job.agent_id for job in records if job.queue_status is QueueStatus.COMPLETED)
    assert completed.total()
    assert await jobs.completed_by([*agents, "unknown"]) == {name: completed[name] for name in (*agents, "unknown")}


async def test_a_write_that_never_came_costs_no_count(jobs: JobStore) -> None:
    """A newer record that overtakes an older one takes the older one's share along."""
    life = Life(random.Random(3))
    life.announce()
    life.end(None)
    life.announce()
    life.end(JobStatus.FAILED)
    await jobs.write(life.writes[0])
    assert await jobs.write(life.writes[-1]) is WriteOutcome.APPLIED
    assert await jobs.write(life.writes[1]) is WriteOutcome.STALE
    assert await jobs.queue_stats() == counted([life.job])
    assert [item.status for item in (await jobs.list(JobQuery())).items] == [JobStatus.FAILED]
    assert (await jobs.list(JobQuery(status=JobStatus.QUEUED))).items == []


async def test_the_first_write_of_all_may_be_the_last_of_the_job(jobs: JobStore) -> None:
    life = Life(random.Random(4))
    life.end(JobStatus.SUCCESS)
    await jobs.write(life.writes[-1])
    assert await jobs.queue_stats() == counted([life.job])


async def test_empty_statistics(jobs: JobStore) -> None:
    assert await jobs.queue_stats() == QueueStats()
    assert await jobs.day_stats("2025-11-21") == DayStats(day="2025-11-21")


async def test_days_are_utc_and_apart(jobs: JobStore) -> None:
    midnight = NOON + 12 * 3600 * 1000
    for created_at, completed_at in ((NOON, midnight - 1), (NOON, midnight), (midnight, midnight + 1)):
        created = make_job(created_at=created_at)
        await jobs.write(JobWrite(job=created))
        ended = {"sequence": 2, "completed_at": completed_at, "queue_status": QueueStatus.COMPLETED}
        done = created.model_copy(update={**ended, "status": JobStatus.SUCCESS})
        assert await jobs.write(JobWrite(job=done, previous=QueueStatus.QUEUED)) is WriteOutcome.APPLIED
    first, second = await jobs.day_stats("2025-11-21"), await jobs.day_stats("2025-11-22")
    assert (first.created, first.completed, second.created, second.completed) == (2, 1, 1, 2)
    last_hour = midnight - 3600 * 1000
    assert first.hours == [HourStats(at=NOON, created=2, opened=2), HourStats(at=last_hour, completed=1, opened=-1)]
    assert second.hours == [HourStats(at=midnight, created=1, completed=2, opened=-1)]


@pytest.mark.parametrize("endpoint_fixture", ["aws_endpoint", "dynamodb_local_endpoint"])
async def test_a_transaction_whose_answer_was_lost_counts_once(
    clients_of: Callable[[str], AwsClients], tables: JobTables, endpoint_fixture: str
) -> None:
    clients = clients_of(endpoint_fixture)
    await create_tables(clients, tables)
    jobs, life = DynamoJobStore(clients, tables), Life(random.Random(5))
    life.announce()
    before: Footprint | None = None
    for write in life.writes:
        # The server carries it out and nobody hears of it; then the activity is tried again.
        record = RecordWrite(tables, write.job)
        lost = record.actions(record.stored_as(before))
        await clients.call(clients.dynamodb.transact_write_items, TransactItems=lost)  # pyright: ignore[reportArgumentType]
        assert await jobs.write(write) is WriteOutcome.STALE
        before = Footprint.of(write.job)
    assert await jobs.queue_stats() == counted([life.job])
