"""Closing the records of deployments whose workflow was closed behind our back: terminated, failed, or deleted.

An environment's lock is freed by its own workflow (``workflows.environment``); who only waited there is taken out here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.bounded import gather_bounded
from activities.clock import Clock
from activities.deployments.readers import DeploymentReader
from activities.deployments.writers import DeploymentWriter
from activities.ending import end_workflow
from activities.environments.temporal import TemporalWorkflows
from activities.jobs.reconcile import CAUSE, QUIET_MILLIS, Ending
from activities.stores.interfaces.writes import WriteOutcome
from workflows.client.known import stated_if_there
from workflows.contracts import search_attributes
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.commands import ReconcileResult
from workflows.contracts.deployments.deployment import (
    ON_ITS_WAY,
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    DeploymentSummary,
    DeploymentWrite,
    StageStatus,
)
from workflows.contracts.deployments.environments import Leave, Leaving, RestoreLive, SignalEnvironment
from workflows.contracts.deployments.services import PRODUCTION
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import deployment_workflow_id
from workflows.contracts.repairs import REPAIR_CAUSE
from workflows.contracts.who import Who
from workflows.deployment import record

_QUERY: Final = "WorkflowType = 'DeploymentWorkflow' AND ExecutionStatus = 'Running'"
_TOLD: Final = {
    CAUSE: EventType.DEPLOYMENT_WORKFLOW_TERMINATED,
    REPAIR_CAUSE: EventType.DEPLOYMENT_REPAIRED,
}
_DELETED: Final = "deleted"
_ENDINGS: Final = {
    _DELETED: "Its workflow is not in Temporal any more (it was deleted, or Temporal was restored from an older backup)"
}
_PAGE: Final = 100
Close = Callable[[str, Ending], Awaitable[bool]]


class DeploymentWorkflows(Protocol):
    """What Temporal knows of the deployments' workflows."""

    async def open_ids(self) -> set[str]:
        """The ids of the workflows that run; may lag behind by seconds."""
        ...

    async def ended(self, workflow_id: str) -> str | None:
        """How the workflow ended, in a word for people; None while it runs."""
        ...

    async def signal_environment(self, signal: SignalEnvironment) -> None:
        """Tell an environment's workflow."""
        ...


class TemporalDeploymentWorkflows:
    """Asks the server. Temporal's errors pass through: the activity is tried again."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def open_ids(self) -> set[str]:
        """See DeploymentWorkflows."""
        return set(await self.shown())

    async def shown(self) -> dict[str, str]:
        """See ``comparing.StatedDeployments``."""
        return {
            execution.id: execution.typed_search_attributes.get(search_attributes.STATUS, "")
            async for execution in self._client.list_workflows(_QUERY, page_size=1000)
        }

    async def state(self, workflow_id: str) -> Deployment | None:
        """See ``comparing.StatedDeployments``."""
        handle = self._client.get_workflow_handle(workflow_id, result_type=Deployment)
        return await stated_if_there(handle, Deployment, ended=True)

    async def is_known(self, workflow_id: str) -> bool:
        """See ``comparing.StatedDeployments``."""
        return await self.ended(workflow_id) != _DELETED

    async def end(self, workflow_id: str, why: str) -> None:
        """See ``comparing.StatedDeployments``."""
        await end_workflow(self._client, workflow_id, why)

    async def ended(self, workflow_id: str) -> str | None:
        """See DeploymentWorkflows. Asks about the latest run."""
        try:
            status = (await self._client.get_workflow_handle(workflow_id).describe()).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return _DELETED
            raise
        if status is None or status is WorkflowExecutionStatus.RUNNING:
            return None
        return status.name.lower().replace("_", " ")

    async def signal_environment(self, signal: SignalEnvironment) -> None:
        """See DeploymentWorkflows."""
        await TemporalWorkflows(self._client).signal_environment(signal)


@dataclass(frozen=True, slots=True)
class DeploymentReconciler:
    """Compares open records with their workflows. Safe to repeat and to run twice at once: writes are ordered."""

    reader: DeploymentReader
    writer: DeploymentWriter
    workflows: DeploymentWorkflows
    clock: Clock
    mend: Callable[[Close], Awaitable[list[str]]] | None = None
    """Puts right what records and their workflows say differently (``comparing``)."""

    async def run(self, progress: Callable[[int], None]) -> ReconcileResult:
        """One comparison of all open records; ``progress`` gets the number compared. Raises Unavailable."""
        if self.mend is not None:
            await self.mend(self.close)
            progress(0)
        checked, closed = 0, list[str]()
        running = await self.workflows.open_ids()
        for status in ON_ITS_WAY:  # what is live is looked at more often, and comes back: see ``standing``
            cursor: str | None = None
            while True:
                page = await self.reader.list(DeploymentQuery(status=status, limit=_PAGE, cursor=cursor))
                checked, cursor = checked + len(page.items), page.next_cursor
                suspects = [each for each in page.items if workflow_id(each) not in running and self._is_quiet(each)]
                for answer in await gather_bounded(self._repair, suspects):
                    if isinstance(answer, Exception):
                        raise answer
                    if answer is not None:
                        closed.append(answer)
                progress(checked)
                if cursor is None:
                    break
        return ReconcileResult(checked=checked, closed=closed)

    async def close(self, deployment_id: str, ending: Ending) -> bool:
        """Close the record of a deployment whose workflow was just ended, and give its environment's lock back.

        False: it is closed already. Raises NotFound, Unavailable.
        """
        stored = await self.reader.get(deployment_id)
        if stored.status is DeploymentStatus.LIVE:
            return await self.restore(stored, ending)
        closed = await self._close(stored, ending)
        if closed is None:  # perhaps by a try of this that came no further
            await self._leave(stored)
        return closed is not None

    async def restore(self, stored: Deployment, ending: Ending) -> bool:
        """Of a version that is live: note in record and trail that its workflow has ended, and have it started again.

        False: that is noted already.
        """
        noted = stored.closed
        if not noted:
            closed = _closed(stored, ending, self.clock())
            write = DeploymentWrite(deployment=closed, previous=stored.status, events=[_event(closed)])
            noted = await self.writer.write(write) is not WriteOutcome.APPLIED
        lost = RestoreLive(deployment_id=stored.deployment_id, why=ending.why)
        await self.workflows.signal_environment(
            SignalEnvironment(
                service_name=stored.service_name, environment=stored.environment or PRODUCTION, restore_live=lost
            )
        )
        return not noted

    async def _repair(self, summary: DeploymentSummary) -> str | None:
        """The id when its record was closed."""
        how = await self.workflows.ended(workflow_id(summary))
        if how is None:
            return None
        try:
            stored = await self.reader.get(summary.deployment_id)
        except NotFound:
            return None
        return await self._close(stored, Ending(CAUSE, _ENDINGS.get(how, f"Its workflow was {how} in Temporal")))

    async def _close(self, stored: Deployment, ending: Ending) -> str | None:
        if stored.closed or (stored.status.final and not _is_open_failure(stored)):
            return None
        closed = _closed(stored, ending, self.clock())
        write = DeploymentWrite(deployment=closed, previous=stored.status, events=[_event(closed)])
        outcome = await self.writer.write(write)
        await self._leave(stored)
        return stored.deployment_id if outcome is WriteOutcome.APPLIED else None

    async def _leave(self, stored: Deployment) -> None:
        """Out of the line it waits in, or the lock back; where its rollback had failed, nobody knows what runs."""
        if stored.environment is None:
            return
        how = Leaving.BROKEN if _is_open_failure(stored) else Leaving.ENDED
        leave = Leave(deployment_id=stored.deployment_id, how=how)
        await self.workflows.signal_environment(
            SignalEnvironment(service_name=stored.service_name, environment=stored.environment, leave=leave)
        )

    def _is_quiet(self, summary: DeploymentSummary) -> bool:
        return self.clock() - summary.updated_at >= QUIET_MILLIS


def _closed(stored: Deployment, ending: Ending, now: int) -> Deployment:
    ordered = {"sequence": stored.sequence + 1, "updated_at": now}
    if _is_open_failure(stored):
        back = f"hybridci deploy rollback {stored.service_name} --environment {stored.environment} --reason …"
        message = f"{ending.why} after its rollback had failed: look at what runs there, then go back: `{back}`"
        return record.failed(stored, stored.cause or ending.cause, message, now).model_copy(update=ordered)
    start = f"hybridci deploy start {stored.service_name} --version {stored.version} --sha {stored.git_commit_sha}"
    look = f" Look at what runs in {stored.environment}, where it had begun." if _had_begun(stored) else ""
    message = f"{ending.why}, so nothing moves it any more.{look} Start it again: `{start}`"
    if stored.status is not DeploymentStatus.LIVE:
        return record.failed(stored, ending.cause, message, now).model_copy(update=ordered)
    why = f"{ending.why[:1].lower()}{ending.why[1:]}"
    stays = f"{stored.version} is still live, but {why}: it is being started again."
    return stored.model_copy(update={**ordered, "closed": True, "cause": ending.cause, "error_message": stays})


def _is_open_failure(stored: Deployment) -> bool:
    """It has failed, and so has its rollback: a person was to say what is next."""
    return stored.status is DeploymentStatus.FAILED and not stored.closed


def _had_begun(stored: Deployment) -> bool:
    stage = None if stored.environment is None else stored.stage(stored.environment)
    return stage is not None and bool(stage.job_ids) and stage.status is not StageStatus.DEPLOYED


def _event(closed: Deployment) -> AuditEvent:
    return new_event(
        _TOLD.get(closed.cause or CAUSE, EventType.DEPLOYMENT_WORKFLOW_TERMINATED),
        Who.itself("reconciliation"),
        event_id=f"{closed.deployment_id}-{closed.cause}{_again(closed)}",
        at=closed.updated_at,
        service_name=closed.service_name,
        environment=closed.environment,
        deployment_id=closed.deployment_id,
        version=closed.version,
        message=closed.error_message or "",
    )


def _again(closed: Deployment) -> str:
    """It can happen to a live version more than once."""
    return f"-{closed.sequence}" if closed.status is DeploymentStatus.LIVE else ""


def workflow_id(summary: DeploymentSummary) -> str:
    """The id of a deployment's workflow."""
    return deployment_workflow_id(summary.service_name, summary.version, summary.deployment_id)
