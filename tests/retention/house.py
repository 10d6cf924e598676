"""Stores with jobs and deployments of any age in them, and sweeps over them as the workflow makes them."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.retention.sweep import Sweeper, SweepStores
from activities.retention.walk import Bounds
from activities.stores.interfaces.logs import LogChunk
from activities.stores.open import Stores
from tests.stores.lives import NOON, make_job
from tests.stores.releases import make_deployment
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, DeploymentWrite, Stage
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite, LiveVersion
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus
from workflows.contracts.storage.retention import RetentionPolicy, SweepResult, SweepTask, Swept, SweptKind

DAY = 86_400_000
NOW = NOON + 1000 * DAY
_QUEUE = {
    JobStatus.SUCCESS: QueueStatus.COMPLETED,
    JobStatus.FAILED: QueueStatus.FAILED,
    JobStatus.DEAD_LETTERED: QueueStatus.DEAD_LETTERED,
    JobStatus.QUEUED: QueueStatus.QUEUED,
}


def days(**ages: float | int) -> RetentionPolicy:
    """A policy, its ages in days."""
    live = int(ages.pop("live_versions", 10))
    return RetentionPolicy(**{kind: round(age * 86_400) for kind, age in ages.items()}, live_versions=live)


@dataclass
class House:
    stores: Stores
    now: int = NOW
    places: list[LiveVersion] = field(default_factory=list[LiveVersion])

    async def job(
        self, age: float, *, status: JobStatus = JobStatus.SUCCESS, ended: float | None = None, **changes: Any
    ) -> Job:
        """One that was created ``age`` days ago and ended a minute later (or ``ended`` days ago), with log and file."""
        created = self.now - round(age * DAY)
        done = created + 60_000 if ended is None else self.now - round(ended * DAY)
        attempt = Attempt(
            number=1, agent_id="a", queued_at=created, claimed_at=created, finished_at=done, outcome=Outcome.SUCCEEDED
        )
        changes = {"attempts": [attempt], "agent_id": "a", **changes}
        job = make_job(created_at=created, **changes)
        await self.stores.jobs.write(JobWrite(job=job))
        final = {"completed_at": done} if status.final else {}
        job = job.model_copy(update={"status": status, "queue_status": _QUEUE[status], "sequence": 2, **final})
        await self.stores.jobs.write(JobWrite(job=job, previous=QueueStatus.QUEUED))
        await self.stores.logs.append(job.job_id, 1, LogChunk(0, b"hello\n", final=True))
        await self.stores.artifacts.put(job.job_id, 1, "dist/a", io.BytesIO(b"bytes"), sha256="0" * 64)
        return job

    async def deployment(
        self, age: float, status: DeploymentStatus = DeploymentStatus.SUPERSEDED, *, jobs: int = 1, **changes: Any
    ) -> Deployment:
        """With so many jobs, all of that age."""
        at = self.now - round(age * DAY)
        closed: dict[str, Any] = {"closed": status.final, "completed_at": at if status.final else None}
        deployment = make_deployment(created_at=at, **{"status": status, **closed, **changes})
        made = [await self.job(age, deployment_id=deployment.deployment_id) for _ in range(jobs)]
        stage = Stage(environment="production", job_ids=[job.job_id for job in made])
        deployment = deployment.model_copy(update={"stages": [stage], "build_job_id": "of-another-ci"})
        await self.stores.deployments.write(DeploymentWrite(deployment=deployment))
        return deployment

    async def environment(self, history: Sequence[Deployment], **changes: Any) -> None:
        """These were live in production, newest first; the first one is."""
        lived = [live_version(each) for each in history]
        fields: dict[str, Any] = {"live": lived[0] if lived else None, "history": lived, "sequence": 1, **changes}
        state = EnvironmentState(service_name="checkout", environment="production", **fields)
        await self.stores.environments.write(EnvironmentWrite(state=state))

    async def sweep(
        self, policy: RetentionPolicy, *, dry_run: bool = False, bounds: Bounds | None = None, **changes: Any
    ) -> dict[SweptKind, int]:
        """How many of each kind went, or would; but for what the stores let expire, as the counters of old days."""
        result = await self.swept(policy, dry_run=dry_run, bounds=bounds, **changes)
        return {each.kind: each.removed for each in result.kinds if each.removed and each.kind is not SweptKind.EXPIRED}

    async def swept(
        self,
        policy: RetentionPolicy,
        *,
        dry_run: bool = False,
        bounds: Bounds | None = None,
        stores: Callable[[SweepStores], SweepStores] = lambda stores: stores,
    ) -> SweepResult:
        own = self.stores
        swept = SweepStores(own.jobs, own.deployments, own.environments, own.logs, own.artifacts, own.storage)
        sweeper = Sweeper(stores(swept), policy, lambda: self.now, bounds=bounds)
        first, gone, kinds = list[str](), list[str](), list[Swept]()
        for kind in SweptKind:
            task = SweepTask(kind=kind, dry_run=dry_run, first=first, gone=gone)
            one = await sweeper.run(task, lambda _: None)
            first, gone = one.job_ids, gone or one.ids
            kinds.append(one)
        result = SweepResult(policy=policy, kinds=kinds, dry_run=dry_run)
        if not dry_run:
            await sweeper.keep(result)
        return result

    async def is_there(self, job: Job) -> bool:
        """Also in every list that it can be found by; and nothing of it when it is not."""
        stored = await self.stores.jobs.get(job.job_id)
        queries = (JobQuery(limit=100), JobQuery(status=job.status, limit=100), JobQuery(agent_id="a", limit=100))
        listed = [await self.all_ids(query) for query in queries]
        assert {job.job_id in ids for ids in listed} == {stored is not None}, "a record without its entries"
        if stored is None:
            assert (await self.stores.logs.stored(job.job_id)).objects == 0
            assert (await self.stores.artifacts.stored(job.job_id)).objects == 0
        return stored is not None

    async def all_ids(self, query: JobQuery) -> set[str]:
        found = set[str]()
        while True:
            page = await self.stores.jobs.list(query)
            found.update(each.job_id for each in page.items)
            if page.next_cursor is None:
                return found
            query = query.model_copy(update={"cursor": page.next_cursor})

    async def has_deployment(self, deployment: Deployment) -> bool:
        return await self.stores.deployments.get(deployment.deployment_id) is not None


def live_version(deployment: Deployment) -> LiveVersion:
    return LiveVersion(
        version=deployment.version,
        deployment_id=deployment.deployment_id,
        workflow_id=f"deploy-{deployment.deployment_id}",
        git_commit_sha=deployment.git_commit_sha,
        since=deployment.created_at,
    )
