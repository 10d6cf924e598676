"""Deciding about one thing: does it go? And taking it away, unless this is a preview, which decides the same.

A job stays with its deployment's record; a deployment stays as long as it is needed (``needed``); a log or an artifact
stays as long as its deployment is live or on its way, an artifact also while its deployment can be rolled back to.
What is decided from is read at that moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from activities.chaining.chains import NamedChain, run_chain
from activities.retention.links import TakenAway
from activities.retention.needed import NeededDeployments, has_ended
from activities.retention.walk import STAYS, Fate
from activities.stores.interfaces.amounts import Amount
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.logs import LogStore
from workflows.contracts.deployments.deployment import Deployment, DeploymentSummary
from workflows.contracts.jobs import Job, JobSummary
from workflows.job.record import deployment_of


@dataclass(frozen=True, slots=True)
class Chains:
    """How each thing is taken away."""

    job: NamedChain
    logs: NamedChain
    artifacts: NamedChain
    deployment: NamedChain


@dataclass(frozen=True, slots=True)
class Read:
    """What is decided from."""

    jobs: JobStore
    deployments: DeploymentStore
    logs: LogStore
    artifacts: ArtifactStore
    needed: NeededDeployments


@dataclass(slots=True)
class SweepTurn:
    """One kind's turn. Times are epoch milliseconds: ``until`` the kind's, ``jobs_until`` that of whole jobs (None: all
    stay). ``gone``: deployments that a preview takes for gone.
    """

    read: Read
    chains: Chains
    until: int
    jobs_until: int | None = None
    dry_run: bool = False
    gone: frozenset[str] = frozenset()
    _done: set[str] = field(default_factory=set[str])

    async def deployment(self, summary: DeploymentSummary) -> Fate:
        """The record; its jobs are looked at in the jobs' turn."""
        if not summary.status.final or (summary.completed_at or summary.updated_at) > self.until:
            return STAYS
        deployment = await self.read.deployments.get(summary.deployment_id)
        if deployment is None or not has_ended(deployment):
            return STAYS
        if deployment.deployment_id in await self.read.needed.of_service(deployment.service_name):
            return STAYS
        if not self.dry_run:
            removed = await run_chain(
                self.chains.deployment, {"deployment": deployment}, result="removed", kind=TakenAway
            )
            if not removed.done:
                return STAYS
        return Fate(deployment.deployment_id, job_ids=list(jobs_of(deployment)))

    async def job_of(self, job_id: str) -> Fate:
        """A job of a deployment that has just gone: that of another CI is none of ours."""
        self._done.add(job_id)
        job = await self.read.jobs.get(job_id)
        return STAYS if job is None or not await self._goes(job) else await self._take(self.chains.job, job)

    async def job(self, summary: JobSummary) -> Fate:
        """The record, with log and artifacts."""
        if summary.job_id in self._done or not self._is_old(summary):
            return STAYS
        job = await self.read.jobs.get(summary.job_id)
        return STAYS if job is None or not await self._goes(job) else await self._take(self.chains.job, job)

    async def log(self, summary: JobSummary) -> Fate:
        """The log of a job whose record stays."""
        job = await self._old_job(summary)
        if job is None or job.logs_removed_at is not None:
            return STAYS
        return STAYS if await self._moves(job) else await self._take(self.chains.logs, job)

    async def artifact(self, summary: JobSummary) -> Fate:
        """The artifacts of a job whose record stays."""
        job = await self._old_job(summary)
        if job is None or job.artifacts_removed_at is not None or await self._moves(job):
            return STAYS
        return STAYS if await self._is_needed(job) else await self._take(self.chains.artifacts, job)

    async def expired_artifact(self, summary: JobSummary, now: int) -> Fate:
        """The artifacts of a job that said itself how long they are kept; whoever needs them is asked as well."""
        if not summary.status.final or summary.artifacts_expire_at is None or summary.artifacts_expire_at > now:
            return STAYS
        job = await self.read.jobs.get(summary.job_id)
        if job is None or job.artifacts_expire_at is None or job.artifacts_removed_at is not None:
            return STAYS
        if await self._moves(job) or await self._is_needed(job):
            return STAYS
        return await self._take(self.chains.artifacts, job)

    async def _old_job(self, summary: JobSummary) -> Job | None:
        """One that ran, has ended, and does not go as a whole."""
        if not self._is_old(summary) or summary.attempt_count == 0:
            return None
        job = await self.read.jobs.get(summary.job_id)
        return None if job is None or await self._goes(job) else job

    def _is_old(self, job: JobSummary | Job) -> bool:
        return job.status.final and (job.completed_at or job.created_at) <= self.until

    async def _goes(self, job: Job) -> bool:
        """Whether the whole job does."""
        if self.jobs_until is None or not job.status.final or (job.completed_at or job.created_at) > self.jobs_until:
            return False
        deployment_id = deployment_of(job)
        if deployment_id is None or deployment_id in self.gone:
            return True
        return await self.read.deployments.get(deployment_id) is None

    async def _moves(self, job: Job) -> bool:
        """Whether its deployment is on its way, or live: also one that was brought back, whose record has ended."""
        deployment = await self._deployment(job)
        if deployment is None:
            return False
        live = await self.read.needed.live(deployment.service_name) if has_ended(deployment) else frozenset[str]()
        return not has_ended(deployment) or deployment.deployment_id in live

    async def _is_needed(self, job: Job) -> bool:
        deployment = await self._deployment(job)
        if deployment is None:
            return False
        return deployment.deployment_id in await self.read.needed.of_service(deployment.service_name)

    async def _deployment(self, job: Job) -> Deployment | None:
        deployment_id = deployment_of(job)
        if deployment_id is None or deployment_id in self.gone:
            return None
        return await self.read.deployments.get(deployment_id)

    async def _take(self, chain: NamedChain, job: Job) -> Fate:
        if not self.dry_run:
            removed = await run_chain(chain, {"job": job}, result="removed", kind=TakenAway)
            return Fate(job.job_id, removed.amount) if removed.done else STAYS
        logs, artifacts = chain is not self.chains.artifacts, chain is not self.chains.logs
        amounts = [await self.read.logs.stored(job.job_id)] if logs else []
        amounts += [await self.read.artifacts.stored(job.job_id)] if artifacts else []
        return Fate(job.job_id, Amount(sum(each.objects for each in amounts), sum(each.size for each in amounts)))


def jobs_of(deployment: Deployment) -> Iterator[str]:
    """All jobs that its record names."""
    named = (deployment.source_job_id, deployment.definition_job_id, deployment.build_job_id, deployment.test_job_id)
    yield from (job_id for job_id in named if job_id is not None)
    for stage in deployment.stages:
        yield from stage.job_ids
    for rollback in (deployment.rollback, *deployment.rollbacks):
        yield from () if rollback is None else rollback.job_ids
