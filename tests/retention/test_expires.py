"""Artifacts whose jobs said themselves how long they are kept."""

from typing import Any

import pytest

from tests.retention.house import DAY, House, days
from workflows.contracts.deployments.deployment import DeploymentStatus
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus
from workflows.contracts.storage.retention import RetentionPolicy, SweptKind


async def files_of(house: House, job: Job) -> int:
    return (await house.stores.artifacts.stored(job.job_id)).objects


async def expiring(house: House, age: float, after_days: float, **changes: Any) -> Job:
    at = house.now - round((age - after_days) * DAY)
    return await house.job(age, artifacts_expire_at=at, **changes)


@pytest.mark.parametrize("policy", [RetentionPolicy(), days(jobs=365, artifacts=90)])
async def test_they_go_when_their_job_said_whatever_the_policy_keeps(house: House, policy: RetentionPolicy) -> None:
    due, early = await expiring(house, 10, 7), await expiring(house, 3, 7)
    others = [await house.job(10), await expiring(house, 10, 7, status=JobStatus.DEAD_LETTERED)]
    assert await house.sweep(policy, dry_run=True) == {SweptKind.ARTIFACTS: 1}
    assert await files_of(house, due) == 1
    assert await house.sweep(policy) == {SweptKind.ARTIFACTS: 1}
    assert [await files_of(house, each) for each in (due, early, *others)] == [0, 1, 1, 1]
    read = await house.stores.jobs.get(due.job_id)
    assert read is not None
    assert (read.artifacts_removed_at, read.artifacts_expire_at) == (house.now, None)
    assert (await house.stores.logs.stored(due.job_id)).objects == 1
    assert await house.sweep(policy) == {}
    house.now += 5 * DAY
    assert await house.sweep(policy) == {SweptKind.ARTIFACTS: 1}
    assert await files_of(house, early) == 0


async def test_a_policy_that_keeps_them_for_less_counts(house: House) -> None:
    job = await expiring(house, 10, 300)
    assert await house.sweep(days(artifacts=5)) == {SweptKind.ARTIFACTS: 1}
    assert await files_of(house, job) == 0


async def test_those_that_a_version_needs_to_go_back_to_stay(house: House) -> None:
    live = await house.deployment(400, DeploymentStatus.LIVE)
    before, older = await house.deployment(500), await house.deployment(600)
    for deployment in (live, before, older):
        job = await house.stores.jobs.get(deployment.stages[0].job_ids[0])
        assert job is not None
        changed = job.model_copy(update={"artifacts_expire_at": house.now - DAY, "sequence": job.sequence + 1})
        await house.stores.jobs.write(JobWrite(job=changed, previous=job.queue_status))
    await house.environment([live, before, older])
    assert await house.sweep(days(live_versions=2)) == {SweptKind.ARTIFACTS: 1}
    jobs = [await house.stores.jobs.get(each.stages[0].job_ids[0]) for each in (live, before, older)]
    assert [await files_of(house, job) for job in jobs if job is not None] == [1, 1, 0]


async def test_a_sweep_goes_on_behind_what_it_looked_at(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.retention.sweep.PAGE", 2)
    monkeypatch.setattr("activities.retention.sweep.MOST_ENTRIES", 4)
    for number in range(6):
        await house.job(40 - number)
    late = await expiring(house, 20, 7)
    assert await house.sweep(RetentionPolicy()) == {}
    assert await house.sweep(RetentionPolicy()) == {SweptKind.ARTIFACTS: 1}
    assert await files_of(house, late) == 0
