"""Links of retention: taking away a job or a deployment, one step each; first what they hand on.

Objects go before the record that names them: whatever is killed at any moment, a record is left that says what is to
go, and all of it can be done again.
"""

from dataclasses import dataclass
from typing import TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.stores.interfaces.amounts import NOTHING, Amount
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.logs import LogStore
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.errors import InvalidState
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite


@dataclass(frozen=True, slots=True)
class TakenAway:
    """``done`` False: it has changed since it was read, and stays. ``amount``: the objects that went."""

    done: bool
    amount: Amount = NOTHING


class RetentionContext(TypedDict, total=False):
    """What the chains of retention hand on."""

    job: Job
    deployment: Deployment
    logs: Amount
    artifacts: Amount
    removed: TakenAway


class RemoveLogs(StoreLink[LogStore]):
    """``job`` → ``logs``: what they took. Raises Unavailable."""

    async def call(self, ctx: Context[RetentionContext]) -> Context[RetentionContext]:
        """Repeating it changes nothing."""
        return ctx.insert("logs", await self._store.remove(require(ctx, "job", Job).job_id))


class RemoveArtifacts(StoreLink[ArtifactStore]):
    """``job`` → ``artifacts``: what they took. Raises Unavailable."""

    async def call(self, ctx: Context[RetentionContext]) -> Context[RetentionContext]:
        """Repeating it changes nothing."""
        return ctx.insert("artifacts", await self._store.remove(require(ctx, "job", Job).job_id))


class MarkRemoval(StoreLink[JobStore]):
    """``job`` with ``logs`` or ``artifacts`` → ``removed``. Raises InvalidState for one that has not ended, and
    Unavailable.

    The record says from now on that they went, and when: no change of its state, so none that ``transitions`` knows.
    """

    async def call(self, ctx: Context[RetentionContext]) -> Context[RetentionContext]:
        """Behind the removal: a record that says so tells the truth."""
        job = require(ctx, "job", Job)
        if not job.status.final:
            raise InvalidState(f"Job {job.job_id} has not ended: its log and artifacts stay.", job_id=job.job_id)
        went = {name: self._clock() for name in ("logs", "artifacts") if ctx.get(name) is not None}
        marks: dict[str, int | None] = {f"{name}_removed_at": at for name, at in went.items()}
        if "artifacts" in went:
            marks["artifacts_expire_at"] = None
        changed = job.model_copy(update={**marks, "sequence": job.sequence + 1})
        outcome = await self._store.write(JobWrite(job=changed, previous=job.queue_status))
        return ctx.insert("removed", TakenAway(outcome is WriteOutcome.APPLIED, _took(ctx)))


class RemoveJobRecord(StoreLink[JobStore]):
    """``job`` → ``removed``. Raises Unavailable."""

    async def call(self, ctx: Context[RetentionContext]) -> Context[RetentionContext]:
        """The record and its entries in lists, all or nothing, as long as it is as it was read."""
        done = await self._store.remove(require(ctx, "job", Job))
        return ctx.insert("removed", TakenAway(done, _took(ctx)))


class RemoveDeploymentRecord(StoreLink[DeploymentStore]):
    """``deployment`` → ``removed``. Raises Unavailable."""

    async def call(self, ctx: Context[RetentionContext]) -> Context[RetentionContext]:
        """As for jobs."""
        return ctx.insert("removed", TakenAway(await self._store.remove(require(ctx, "deployment", Deployment))))


def _took(ctx: Context[RetentionContext]) -> Amount:
    parts = [each for each in (ctx.get("logs"), ctx.get("artifacts")) if isinstance(each, Amount)]
    return Amount(sum(each.objects for each in parts), sum(each.size for each in parts))
