"""What is live is open: the record of a version that a rollback brought back, or whose workflow had gone, goes on.

The environment's record alone says what is live there; who started the workflow that asks does not matter, so whoever
can start one gains nothing. Deliberately not here: what the record is then (``workflows.deployment.live.reopening``),
starting the workflow (``activities.environments.live``).
"""

from dataclasses import dataclass
from typing import Final

from temporalio.client import Client

from activities.clock import Clock
from activities.deployments.readers import DeploymentReader
from activities.deployments.writers import DeploymentWriter
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentStatus,
    DeploymentWrite,
)
from workflows.contracts.deployments.environments import EnvironmentState, Granted, Holder, LiveVersion
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.reopening import Reopened
from workflows.contracts.errors import Conflict, InvalidState, NotFound, Unavailable
from workflows.contracts.ids import deployment_workflow_id
from workflows.contracts.who import Who
from workflows.deployment.live.reopening import reopened
from workflows.deployment.live.targets import previous_of

_INSTEAD: Final = "Nothing was changed. What is live there: `hybridci service show"


class FirstRuns:
    """Asks Temporal with which run a chain of runs began: one that goes on, or was taken back, is of its first."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of(self, workflow_id: str, run_id: str) -> str:
        """The first run's id. Temporal's errors pass through: the activity is tried again."""
        description = await self._client.get_workflow_handle(workflow_id, run_id=run_id).describe()
        return description.raw_description.workflow_execution_info.first_run_id


@dataclass(frozen=True, slots=True)
class Reopening:
    """Safe to repeat: what is live again in this run stays as it is."""

    reader: DeploymentReader
    writer: DeploymentWriter
    clock: Clock

    async def reopen(self, deployment_id: str, workflow_id: str, run_id: str) -> Reopened:
        """Make it live again if its environment says that it is what is live, for this run of its workflow.

        Raises Conflict for any other deployment, InvalidState for another workflow, Unavailable.
        """
        try:
            deployment = await self.reader.get(deployment_id)
        except NotFound as error:
            raise Conflict(f"There is no deployment {deployment_id}: nothing is live again.") from error
        if workflow_id != deployment_workflow_id(deployment.service_name, deployment.version, deployment_id):
            raise InvalidState(f"{workflow_id} is not the workflow of deployment {deployment_id}.")
        state, live = await self._lives(deployment)
        previous = previous_of(state.history, deployment_id, _version_before(deployment, state.environment))
        granted = Granted(environment=state.environment, fence=_fence(state), previous=previous, history=state.history)
        if deployment.reopened_in != run_id or deployment.status is not DeploymentStatus.LIVE:
            deployment = await self._write(deployment, _again(deployment, live, self.clock()), granted.fence, run_id)
        return Reopened(deployment=deployment, granted=granted, yielded_to=_yielded_to(state))

    async def _lives(self, deployment: Deployment) -> tuple[EnvironmentState, LiveVersion]:
        names = [environment.name for environment in deployment.definition.environments]
        what = f"Deployment {deployment.deployment_id} ({deployment.service_name} {deployment.version})"
        if not names:
            raise Conflict(f"{what} never reached an environment: it is not live. {_instead(deployment)}")
        try:
            state = await self.reader.environment(deployment.service_name, names[-1])
        except NotFound as error:
            raise Conflict(f"{what} is not live in {names[-1]}: nothing is. {_instead(deployment)}") from error
        live, holder = state.live, state.holder
        if live is None or live.deployment_id != deployment.deployment_id:
            other = "nothing" if live is None else f"{live.version} (deployment {live.deployment_id})"
            raise Conflict(f"{what} has ended: {other} is live in {names[-1]}. {_instead(deployment)}")
        if holder is not None and holder.deployment_id != live.deployment_id and holder.live:
            raise Conflict(f"{what} is not live alone: {holder.version} holds {names[-1]}. {_instead(deployment)}")
        return state, live

    async def _write(self, stored: Deployment, again: LiveAgain, fence: int, run_id: str) -> Deployment:
        record = reopened(stored, again, fence=fence, run_id=run_id, now=self.clock())
        write = DeploymentWrite(deployment=record, previous=stored.status, events=[_event(record, again, run_id)])
        if await self.writer.reopen(write) is WriteOutcome.APPLIED:
            return record
        found = await self.reader.get(stored.deployment_id)
        if found.reopened_in == run_id and not found.closed:  # by a try of this that was not heard of
            return found
        raise Unavailable(f"The record of deployment {stored.deployment_id} has just changed; it is looked at again.")


def _again(deployment: Deployment, live: LiveVersion, now: int) -> LiveAgain:
    """How it came to be live again; a workflow that went missing later does not make a rollback forgotten."""
    if live.again is not None:
        return live.again
    if deployment.live_again is not None and deployment.status is DeploymentStatus.LIVE:
        return deployment.live_again
    return LiveAgain(by="environment", at=now, reason="Its workflow had gone.")


def _version_before(deployment: Deployment, environment: str) -> str | None:
    stage = deployment.stage(environment)
    return None if stage is None else stage.previous_version


def _fence(state: EnvironmentState) -> int:
    holder = state.holder
    own = holder is not None and state.live is not None and holder.deployment_id == state.live.deployment_id
    return holder.fence if holder is not None and own else state.fence


def _yielded_to(state: EnvironmentState) -> str | None:
    holder: Holder | None = state.holder
    if holder is None or state.live is None or holder.deployment_id == state.live.deployment_id:
        return None
    return f"{holder.version} (deployment {holder.deployment_id})"


def _event(record: Deployment, again: LiveAgain, run_id: str) -> AuditEvent:
    brought = again.from_deployment_id is not None
    how = f"{again.from_version} was rolled back" if brought else again.reason or "its workflow had gone"
    return new_event(
        EventType.DEPLOYMENT_REOPENED,
        Who.itself("environment"),
        event_id=f"{record.deployment_id}-reopened-{run_id}",
        at=record.updated_at,
        service_name=record.service_name,
        environment=record.environment,
        deployment_id=record.deployment_id,
        version=record.version,
        reason=again.reason or None,
        message=f"{record.version} is live in {record.environment} once more: {how}",
    )


def _instead(deployment: Deployment) -> str:
    return f"{_INSTEAD} {deployment.service_name}`."
