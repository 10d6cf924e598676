"""Deployments that go with their jobs, and what is live, waits or can be gone back to."""

from collections.abc import Sequence

import pytest

from activities.retention.sweep import Sweeper, SweepStores
from tests.retention.house import House, days, live_version
from tests.stores.lives import SHA
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    Rollback,
    RollbackStatus,
)
from workflows.contracts.deployments.environments import Holder, Ticket
from workflows.contracts.jobs import Job
from workflows.contracts.storage.retention import SweepTask, SweptKind


async def jobs_of(house: House, deployment: Deployment) -> Sequence[Job | None]:
    return [await house.stores.jobs.get(job_id) for job_id in deployment.stages[0].job_ids]


async def test_an_old_one_goes_with_its_jobs(house: House) -> None:
    old, young = await house.deployment(400, jobs=3), await house.deployment(100)
    failed = await house.deployment(500, DeploymentStatus.FAILED)
    stats = await house.stores.deployments.stats()
    assert await house.sweep(days(deployments=365, jobs=90)) == {SweptKind.DEPLOYMENTS: 2, SweptKind.JOBS: 4}
    assert not await house.has_deployment(old)
    assert not await house.has_deployment(failed)
    assert await house.has_deployment(young)
    assert await jobs_of(house, old) == [None] * 3
    assert await jobs_of(house, young) != [None], "of a deployment that is kept"
    page = await house.stores.deployments.list(DeploymentQuery(service_name="checkout"))
    assert [each.deployment_id for each in page.items] == [young.deployment_id]
    page = await house.stores.deployments.list(DeploymentQuery(status=DeploymentStatus.FAILED))
    assert page.items == []
    assert await house.stores.deployments.stats() == stats
    assert stats.total == 3


async def test_what_is_live_and_what_can_be_gone_back_to_stays_with_all_it_needs(house: House) -> None:
    live = await house.deployment(400, DeploymentStatus.LIVE)
    before = [await house.deployment(500 + number) for number in range(4)]
    await house.environment([live, *before])
    policy = days(deployments=90, jobs=60, logs=30, artifacts=30, live_versions=3)
    went = await house.sweep(policy)
    assert went == {SweptKind.DEPLOYMENTS: 2, SweptKind.JOBS: 2, SweptKind.LOGS: 2}
    for needed in (live, *before[:2]):
        assert await house.has_deployment(needed)
        (job,) = await jobs_of(house, needed)
        assert job is not None
        assert (await house.stores.artifacts.stored(job.job_id)).objects == 1
        assert (job.logs_removed_at is None) == (needed is live), "the log of what is live stays"
    assert [await house.has_deployment(each) for each in before[2:]] == [False, False]


@pytest.mark.parametrize("how", ["waits", "holds", "is_over", "is_rolled_back_to", "failed_to_be_rolled_back_to"])
async def test_whatever_an_environment_names_stays(house: House, how: str) -> None:
    one = await house.deployment(400)
    if how == "waits":
        ticket = Ticket(deployment_id=one.deployment_id, workflow_id="w", version="1", git_commit_sha=SHA, arrived_at=1)
        await house.environment([], queue=[ticket])
    elif how in {"holds", "is_over"}:
        holder = one if how == "holds" else await house.deployment(1, DeploymentStatus.PRODUCTION)
        over = one.deployment_id if how == "is_over" else None
        await house.environment([], holder=_holder(holder, over))
    else:
        status = RollbackStatus.RUNNING if how == "is_rolled_back_to" else RollbackStatus.FAILED
        rollback = Rollback(
            environment="production", target_deployment_id=one.deployment_id, reason="", by="", status=status,
            requested_at=1,
        )  # fmt: skip
        holder = await house.deployment(300, DeploymentStatus.FAILED, rollback=rollback, closed=False)
        await house.environment([], holder=_holder(holder, None))
    assert await house.sweep(days(deployments=90, jobs=60, live_versions=1)) == {}
    await house.environment([], sequence=2)
    assert (await house.sweep(days(deployments=90, jobs=60, live_versions=1)))[SweptKind.DEPLOYMENTS] == 1
    assert not await house.has_deployment(one)


async def test_what_a_preview_takes_for_gone_says_nothing_to_a_sweep(house: House) -> None:
    """Its task may come from anybody who can write to Temporal."""
    live = await house.deployment(400, DeploymentStatus.LIVE)
    await house.environment([live])
    own = house.stores
    stores = SweepStores(own.jobs, own.deployments, own.environments, own.logs, own.artifacts, own.storage)
    sweeper = Sweeper(stores, days(jobs=1, logs=1, artifacts=1), lambda: house.now)
    job_ids = live.stages[0].job_ids
    for kind in SweptKind:
        task = SweepTask(kind=kind, first=job_ids, gone=[live.deployment_id])
        assert kind is SweptKind.EXPIRED or (await sweeper.run(task, lambda _: None)).removed == 0
    (job,) = await jobs_of(house, live)
    assert job is not None
    assert (await own.logs.stored(job.job_id)).objects == 1


async def test_what_is_open_stays_whatever_its_age(house: House) -> None:
    statuses = [each for each in DeploymentStatus if not each.final]
    kept = [await house.deployment(900, status) for status in statuses]
    kept.append(await house.deployment(900, DeploymentStatus.FAILED, closed=False))  # a rollback to be tried again
    kept.append(await house.deployment(900, DeploymentStatus.LIVE, closed=True))  # its workflow was terminated
    assert await house.sweep(days(deployments=1, jobs=1, logs=1, artifacts=1)) == {}
    assert all([await house.has_deployment(each) for each in kept])
    for each in kept:
        (job,) = await jobs_of(house, each)
        assert job is not None
        assert (await house.stores.logs.stored(job.job_id)).objects == 1


async def test_the_log_of_a_version_that_was_brought_back_stays(house: House) -> None:
    """Its record has ended, as it was superseded before; the environment says that it is live."""
    back, other = await house.deployment(400), await house.deployment(300, DeploymentStatus.ROLLED_BACK)
    await house.environment([back, other])
    assert await house.sweep(days(logs=30, artifacts=30)) == {SweptKind.LOGS: 1}
    (job,) = await jobs_of(house, back)
    assert job is not None
    assert job.logs_removed_at is None


async def test_a_preview_says_what_the_sweep_does(house: House) -> None:
    live = await house.deployment(400, DeploymentStatus.LIVE)
    old = [await house.deployment(500 + number, jobs=2) for number in range(3)]
    await house.environment([live, old[0]])
    for age in (10, 40, 70, 100):
        await house.job(age)
    policy = days(deployments=90, jobs=80, logs=30, artifacts=50)
    seen = await house.swept(policy, dry_run=True)
    assert await house.has_deployment(old[2])
    done = await house.swept(policy)
    for would, did in zip(seen.kinds, done.kinds, strict=True):
        assert (would.kind, would.removed, would.objects, would.size) == (did.kind, did.removed, did.objects, did.size)
    assert {each.kind: each.removed for each in done.kinds if each.removed and each.kind is not SweptKind.EXPIRED} == {
        SweptKind.DEPLOYMENTS: 2, SweptKind.JOBS: 5, SweptKind.LOGS: 4, SweptKind.ARTIFACTS: 1,
    }  # fmt: skip
    assert await house.sweep(policy) == {}


def _holder(deployment: Deployment, over: str | None) -> Holder:
    version = live_version(deployment)
    return Holder(deployment_id=version.deployment_id, workflow_id="w", version="1", fence=1, since=1, over=over)
