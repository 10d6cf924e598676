"""Links of deployments: what a chain does with a deployment's record, one step each; first what they hand on."""

from typing import TypedDict

from codeuchain import Context

from activities.chaining.links import ChainMiswiredError, StoreLink, require
from activities.days import check_day
from activities.deployments.told import MetricsTold
from activities.deployments.transitions import (
    DeploymentOperation,
    check_deployment_change,
    environments_of,
    refused_deployment,
)
from activities.deployments.validation import creation_errors
from activities.stores.documents import dump_deployment
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentPage,
    DeploymentQuery,
    DeploymentStats,
    DeploymentStatus,
    DeploymentWrite,
    Rollback,
    RollbackStatus,
)
from workflows.contracts.deployments.versions import claim_of, require_same_commit
from workflows.contracts.errors import Conflict, NotFound, ValidationFailed


class DeploymentContext(TypedDict, total=False):
    """What the chains of deployments hand on."""

    write: DeploymentWrite
    deployment: Deployment
    serialized: str
    outcome: WriteOutcome
    operation: DeploymentOperation
    deployment_id: str
    query: DeploymentQuery
    page: DeploymentPage
    deployment_stats: DeploymentStats
    day: str
    day_count: int


class ValidateDeploymentCreation:
    """``write`` → ``deployment``. Raises ValidationFailed.

    The record is a tolerant model and copies of models are not validated again, so both its fields and its snapshot of
    the service's definition are held against the strict models here.
    """

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """Stateless and without I/O."""
        deployment = require(ctx, "write", DeploymentWrite).deployment
        errors = creation_errors(deployment)
        if errors:
            fields = ", ".join(sorted({error.field for error in errors}))
            raise ValidationFailed(
                f"The deployment was not created. Correct {fields} and deploy again; the fields of `definition` are "
                "the service's.",
                errors,
            )
        return ctx.insert("deployment", deployment)


class SerializeDeployment:
    """``deployment``, or that of ``write`` → ``serialized``: the record's text, which the store keeps as it is.

    Nothing is dropped: 0, empty strings and None stay what they are.
    """

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """Stateless and without I/O."""
        return ctx.insert("serialized", dump_deployment(_deployment_of(ctx)))


class CreateDeployment(StoreLink[DeploymentStore]):
    """``write`` → ``outcome``; STALE says that the record was there already.

    Raises Conflict when that is another service's or version's: one idempotency key, sent to two API processes with two
    requests at the same moment, starts two workflows (their ids name service and version), but an id has one record.
    InvalidState, also when its version is another commit already; Unavailable.
    """

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", DeploymentWrite)
        check_deployment_change(DeploymentOperation.CREATE, write)
        await self._require_own(write.deployment)
        await self._require_unused(write.deployment)
        return ctx.insert("outcome", await self._store.write(write, ctx.get("serialized")))

    async def _require_own(self, deployment: Deployment) -> None:
        found = await self._store.get(deployment.deployment_id)
        if found is not None and (found.service_name, found.version) != (deployment.service_name, deployment.version):
            raise Conflict(
                f"This Idempotency-Key was used with another request (deployment {found.deployment_id} of "
                f"{found.service_name} {found.version}); use a new key for a new one."
            )

    async def _require_unused(self, deployment: Deployment) -> None:
        """Versions of before there were claims are known by the service's newest deployments."""
        if deployment.definition.allow_version_reuse:
            return
        name, version = deployment.service_name, deployment.version
        if await self._store.version_claim(name, version) is not None:
            return  # the write itself compares
        page = await self._store.list(DeploymentQuery(service_name=name, limit=100))
        for each in page.items:
            if each.version == version and each.deployment_id != deployment.deployment_id:
                require_same_commit(deployment, claim_of(each))


class UpdateDeployment:
    """``write`` → ``outcome``; STALE says that a newer state is stored. Raises InvalidState, Unavailable.

    It writes the changes of ``operation`` only. Which operation this change is, the context says under ``operation``
    when whoever chose the chain has decided it.
    """

    def __init__(self, store: DeploymentStore, operation: DeploymentOperation) -> None:
        self._store = store
        self._operation = operation
        self._metrics = MetricsTold()

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", DeploymentWrite)
        check_deployment_change(self._operation, write, ctx.get("operation"))
        problem = self._problem(write.deployment)
        if problem is not None:
            raise refused_deployment(write, problem)
        outcome = await self._store.write(self._metrics.added(write), ctx.get("serialized"))
        self._metrics.kept(write)
        return ctx.insert("outcome", outcome)

    def _problem(self, deployment: Deployment) -> str | None:
        """Why this record must not be."""


class RecordStagingDeployment(UpdateDeployment):
    """As UpdateDeployment, for a deployment in, or through, an environment before the last one."""

    def __init__(self, store: DeploymentStore) -> None:
        super().__init__(store, DeploymentOperation.STAGING)

    def _problem(self, deployment: Deployment) -> str | None:
        before_last = environments_of(deployment)[:-1]
        if deployment.status is not DeploymentStatus.STAGING or deployment.environment in before_last:
            return None
        where = deployment.environment or "no environment"
        return f"its status is staging but it is in {where}, not in one before the last"


class RecordProductionDeployment(UpdateDeployment):
    """As UpdateDeployment, for a deployment on its way into the last environment, or live there."""

    def __init__(self, store: DeploymentStore) -> None:
        super().__init__(store, DeploymentOperation.PRODUCTION)

    def _problem(self, deployment: Deployment) -> str | None:
        if deployment.environment in environments_of(deployment)[-1:]:
            return None
        where = deployment.environment or "no environment"
        return f"its status is {deployment.status} but it is in {where}, which is not the last environment"


class RecordRollback(UpdateDeployment):
    """As UpdateDeployment, when the record's account of the rollback holds together: how far the return to another
    version is.
    """

    def __init__(self, store: DeploymentStore) -> None:
        super().__init__(store, DeploymentOperation.ROLLBACK)

    def _problem(self, deployment: Deployment) -> str | None:
        return None if deployment.rollback is None else _contradiction(deployment.status, deployment.rollback)


class ReopenDeployment(RecordProductionDeployment):
    """As UpdateDeployment, for what has ended and is live again: open, in the last environment, by a known run."""

    def __init__(self, store: DeploymentStore) -> None:
        UpdateDeployment.__init__(self, store, DeploymentOperation.REOPEN)

    def _problem(self, deployment: Deployment) -> str | None:
        if deployment.closed or deployment.closed_in is not None or deployment.completed_at is not None:
            return "it is live again but says that it has ended"
        if deployment.reopened_in is None or deployment.live_again is None:
            return "it is live again but does not say how"
        return super()._problem(deployment)


class RetrieveDeployment(StoreLink[DeploymentStore]):
    """``deployment_id`` → ``deployment``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """A consistent read: what was written last."""
        deployment_id = require(ctx, "deployment_id", str)
        deployment = await self._store.get(deployment_id)
        if deployment is None:
            raise NotFound(
                f"There is no deployment {deployment_id}. List the deployments to find the one you mean.",
                deployment_id=deployment_id,
            )
        return ctx.insert("deployment", deployment)


class ListDeployments(StoreLink[DeploymentStore]):
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """Newest first."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", DeploymentQuery)))


class ListDeploymentsByService(StoreLink[DeploymentStore]):
    """``query``, which names a service → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable.

    A service without deployments, or that was never registered, has an empty page.
    """

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """Newest first."""
        query = require(ctx, "query", DeploymentQuery)
        if query.service_name is None:
            raise ChainMiswiredError("the query names no service: this chain would list those of all services")
        return ctx.insert("page", await self._store.list(query))


class ReadDeploymentStats(StoreLink[DeploymentStore]):
    """Nothing → ``deployment_stats``. Raises Unavailable."""

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """Reads counters."""
        return ctx.insert("deployment_stats", await self._store.stats())


class CountDeployments(StoreLink[DeploymentStore]):
    """``day`` (``YYYY-MM-DD``, UTC) → ``day_count``. Raises ValidationFailed for another form, Unavailable."""

    async def call(self, ctx: Context[DeploymentContext]) -> Context[DeploymentContext]:
        """Reads a counter."""
        return ctx.insert("day_count", await self._store.day_count(check_day(require(ctx, "day", str))))


def _deployment_of(ctx: Context[DeploymentContext]) -> Deployment:
    if isinstance(write := ctx.get("write"), DeploymentWrite):
        return write.deployment
    return require(ctx, "deployment", Deployment)


def _contradiction(status: DeploymentStatus, rollback: Rollback) -> str | None:
    succeeded = rollback.status is RollbackStatus.SUCCEEDED
    if succeeded is not (status is DeploymentStatus.ROLLED_BACK):
        return f"its status is {status} but its rollback has the status {rollback.status}"
    if rollback.status is not RollbackStatus.RUNNING and rollback.completed_at is None:
        return f"its rollback has the status {rollback.status} but no completed_at"
    if not rollback.by or not rollback.reason:
        return "its rollback does not say who asked for it and why"
    return None
