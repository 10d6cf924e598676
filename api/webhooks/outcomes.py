"""What actions do and what comes of it: the interface to the world, and a result for each action."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import Field

from api.webhooks.manifest import ActionName
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.commands import (
    Approve,
    AskPerson,
    RecordStage,
    Reject,
    ReportMetrics,
    RollbackCommand,
)
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest
from workflows.contracts.deployments.environments import EnvironmentState, HoldCommand
from workflows.contracts.deployments.metrics import Incident
from workflows.contracts.jobs import Job, JobSpec


class ActionStatus(StrEnum):
    """How one action went."""

    DONE = "done"
    REFUSED = "refused"


class ActionResult(Frozen):
    """One action's part of the answer. ``replayed``: an earlier delivery did it; not part of the answer."""

    action: ActionName
    status: ActionStatus
    service_name: str | None = None
    environment: str | None = None
    version: str | None = None
    deployment_id: str | None = None
    job_id: str | None = None
    url: str | None = None
    message: str
    replayed: bool = Field(default=False, exclude=True)


@dataclass(frozen=True, slots=True)
class Acting:
    """The version that an environment runs or is being given. ``since``: milliseconds. ``asks``: why nothing automatic
    rolls it back; None when something may.
    """

    deployment_id: str
    version: str
    since: int
    asks: str | None = None


class Effects(Protocol):
    """What actions do to the world, on behalf of one provider. All raise what ``api.deployments.service`` does: also
    Accepted.
    """

    @property
    def by(self) -> str:
        """Who acts when the payload names nobody: ``webhook:<provider>``, also the ``via`` of all that is done."""
        ...

    @property
    def address(self) -> str | None:
        """Whence the delivery came."""
        ...

    def now(self) -> int:
        """Epoch milliseconds."""
        ...

    async def start_job(self, spec: JobSpec, key: str) -> tuple[Job, bool]:
        """Start it once for this key; True when it was there."""
        ...

    async def start_deployment(
        self, request: DeploymentRequest, key: str, committer: str | None = None
    ) -> tuple[Deployment, bool]:
        """Start it once for this key; True when it was there."""
        ...

    async def deployment(self, deployment_id: str) -> Deployment:
        """As it stands now."""
        ...

    async def caught_up(self, service: str, branch: str, commit: str) -> Deployment | None:
        """What was started for this head before its webhook came, as long as nothing newer was started."""
        ...

    async def started_with(self, key: str) -> Deployment | None:
        """What was started with this key, if anything."""
        ...

    async def command(
        self, deployment_id: str, command: Approve | Reject | RollbackCommand | RecordStage, key: str
    ) -> Deployment:
        """Send it to the deployment, once for this key."""
        ...

    async def report_metrics(self, deployment_id: str, sample: ReportMetrics) -> None:
        """Hand over a sample."""
        ...

    async def ask_person(self, deployment_id: str, asked: AskPerson) -> None:
        """Have a person asked whether it is rolled back."""
        ...

    async def claim(self, service: str, environment: str, incident: str, acting: Acting) -> Incident | None:
        """Say that an incident acts upon this version: None when it may; else what it has acted upon."""
        ...

    async def unclaim(self, service: str, environment: str, incident: str, acting: Acting) -> None:
        """It has not acted after all."""
        ...

    async def hold(self, service: str, environment: str, command: HoldCommand, key: str) -> EnvironmentState:
        """Hold the environment, once for this key."""
        ...

    async def acting(self, service: str, environment: str) -> Acting:
        """What runs there or is being rolled out there. Raises InvalidState for nothing."""
        ...

    async def waiting(self, service: str, version: str | None) -> str:
        """The deployment that waits (of this version). Raises InvalidState for none, or several without a version."""
        ...

    async def done_before(self, mark: str, *, service: str | None, deployment_id: str | None) -> AuditEvent | None:
        """The line of the audit trail that carries this mark, among the newest of the service or deployment."""
        ...
