"""The contract of removal: a list read from its oldest end, and a record that goes with its entries or not at all."""

import asyncio

from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.writes import WriteOutcome
from tests.stores.conftest import JobStores, ReleaseStores
from tests.stores.lives import NOON, make_job
from tests.stores.releases import make_deployment, make_event
from tests.stores.trails import trail
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.deployment import DeploymentQuery, DeploymentStatus, DeploymentWrite
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus


async def test_jobs_are_read_from_the_oldest_on(jobs: JobStore) -> None:
    made = [make_job(created_at=NOON + number // 2) for number in range(9)]  # some of one moment
    await asyncio.gather(*(jobs.write(JobWrite(job=job)) for job in made))
    ordered = sorted(made, key=lambda job: (job.created_at, job.job_id))
    place, found = "", list[str]()
    while page := await jobs.oldest(place, NOON + 4, 2):
        assert [each.place for each in page] == sorted(each.place for each in page)
        place = page[-1].place
        found += [each.summary.job_id for each in page]
    assert found == [job.job_id for job in ordered if job.created_at < NOON + 4]
    assert await jobs.oldest("", NOON, 10) == []


async def test_a_job_goes_with_its_entries_and_leaves_counters_and_events(job_stores: JobStores) -> None:
    jobs, event = job_stores.jobs, make_event(job_id="j")
    first = make_job(agent_id="a")
    job = first.model_copy(update={"status": JobStatus.SUCCESS, "queue_status": QueueStatus.COMPLETED, "sequence": 2})
    await jobs.write(JobWrite(job=first, events=[event]))
    await jobs.write(JobWrite(job=job, previous=QueueStatus.QUEUED))
    stats = await jobs.queue_stats()
    assert not await jobs.remove(first), "it has changed since it was read"
    assert await jobs.get(job.job_id) == job
    assert await asyncio.gather(*(jobs.remove(job) for _ in range(4))) == [True] * 4
    assert await jobs.get(job.job_id) is None
    for query in (JobQuery(), JobQuery(status=JobStatus.SUCCESS), JobQuery(agent_id="a")):
        assert (await jobs.list(query)).items == []
    assert await jobs.oldest("", NOON + 1, 10) == []
    assert await jobs.queue_stats() == stats
    assert await trail(job_stores.events, EventQuery(job_id="j")) == [event]
    assert await jobs.write(JobWrite(job=make_job(job_id=job.job_id))) is WriteOutcome.APPLIED, "its id is free again"


async def test_a_removal_and_a_write_at_once_leave_one_or_the_other_whole(jobs: JobStore) -> None:
    for number in range(5):
        job = make_job(status=JobStatus.QUEUED)
        await jobs.write(JobWrite(job=job))
        changed = job.model_copy(update={"sequence": 2, "pool": f"p{number}"})
        removed, written = await asyncio.gather(
            jobs.remove(job), jobs.write(JobWrite(job=changed, previous=QueueStatus.QUEUED))
        )
        assert written is WriteOutcome.APPLIED  # behind a removal it is a record's first write
        listed = {each.job_id for each in (await jobs.list(JobQuery())).items}
        assert await jobs.get(job.job_id) == changed
        assert job.job_id in listed
        assert removed in {True, False}
        assert await jobs.remove(changed)
        assert (await jobs.list(JobQuery())).items == []


async def test_a_deployment_goes_with_its_entries_and_stays_counted(releases: ReleaseStores) -> None:
    store = releases.deployments
    first = make_deployment()
    failed = first.model_copy(update={"status": DeploymentStatus.FAILED, "sequence": 2})
    other = make_deployment(created_at=NOON + 1, service_name="shop")
    await store.write(DeploymentWrite(deployment=first))
    await store.write(DeploymentWrite(deployment=failed, previous=first.status))
    await store.write(DeploymentWrite(deployment=other))
    stats = await store.stats()
    assert [each.summary.deployment_id for each in await store.oldest("", NOON + 1, 10)] == [first.deployment_id]
    assert not await store.remove(first)
    assert await store.remove(failed)
    assert await store.remove(failed)
    assert await store.get(first.deployment_id) is None
    lists = (DeploymentQuery(status=DeploymentStatus.FAILED), DeploymentQuery(service_name="checkout"))
    assert [(await store.list(query)).items for query in lists] == [[], []]
    assert [each.deployment_id for each in (await store.list(DeploymentQuery())).items] == [other.deployment_id]
    assert await store.stats() == stats
    assert stats.total == 2
