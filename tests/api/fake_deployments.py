"""A fake of our own ``Deployments`` on real (memory) stores: commands become records at once, without Temporal.

It keeps just enough rules for the API's tests; the real ones are tested with the workflows.
"""

from typing import Any

from activities.bans.chains import build_ban_chain, build_lift_ban_chain
from activities.chaining.chains import run_chain
from activities.line.chains import build_change_line_chain
from activities.services.chains import build_apply_service_chain, build_change_standing_chain, build_decide_policy_chain
from activities.services.standing import Occupancy
from activities.stores.open import Stores
from tests.clock import own_millis
from workflows.client.deployments import DeploymentClient, DeploymentCommand, EnvironmentCommand, workflow_id_of
from workflows.contracts.accepted import Accepted, Taken
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.bans import BanCommand, BanResult, LiftBan
from workflows.contracts.deployments.commands import (
    Approve,
    AskPerson,
    CancelDeployment,
    DeploymentInput,
    RecordStage,
    Reject,
    ReportMetrics,
    RollbackCommand,
)
from workflows.contracts.deployments.deployment import (
    Approval,
    Decision,
    Deployment,
    DeploymentStatus,
    DeploymentWrite,
    Rollback,
    RollbackStatus,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    EnvironmentWrite,
    Freeze,
    FreezeCommand,
    Hold,
    HoldCommand,
    LiveVersion,
    ReleaseCommand,
    RetireCommand,
    UnfreezeCommand,
)
from workflows.contracts.deployments.line import LetTheLineGo, LineChange, LineChanged, LineState, StopTheLine
from workflows.contracts.deployments.metrics import MetricsVerdict
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import Service, ServiceWrite
from workflows.contracts.deployments.standing import ChangeStanding
from workflows.contracts.errors import HybridCIError, InvalidState, NotFound
from workflows.contracts.ids import new_job_id
from workflows.deployment.record import as_accepted


class FakeDeployments(DeploymentClient):
    """Answers like the real one. ``failure`` is raised by every call; ``commands`` are those that were accepted.

    ``unanswered``: what is taken is not answered, as when the store is out. ``update_ids``: of the commands, in turn.
    """

    def __init__(self, stores: Stores) -> None:  # no client: nothing of the base class is used
        self._stores = stores
        self.failure: HybridCIError | None = None
        self.unanswered = False
        self.registering: set[str] = set()
        self.update_ids: list[str | None] = []
        self.lost: set[str] = set()
        self.started: list[DeploymentInput] = []
        self.commands: list[DeploymentCommand | EnvironmentCommand | ReportMetrics | AskPerson] = []
        self.told: list[MetricsVerdict] = []

    async def apply_service(self, write: ServiceWrite) -> Service:
        self._answer()
        if self.unanswered:
            self.registering.add(write.name)
            raise Accepted(Taken(asked="register", service_name=write.name))
        chain = build_apply_service_chain(self._stores.services, self._stores.events)
        return await run_chain(chain, {"write": write, "change_id": new_job_id()}, result="service", kind=Service)

    async def decide_policy_change(self, decision: DecidePolicyChange) -> Service:
        self._answer()
        chain = build_decide_policy_chain(self._stores.services, self._stores.events)
        return await run_chain(chain, {"decision": decision, "change_id": new_job_id()}, result="service", kind=Service)

    async def ban(self, command: BanCommand) -> BanResult:
        self._answer()
        chain = build_ban_chain(self._stores.bans, self._stores.events, self._stores.environments)
        return await run_chain(chain, {"command": command, "change_id": new_job_id()}, result="result", kind=BanResult)

    async def lift_ban(self, command: LiftBan) -> BanResult:
        self._answer()
        chain = build_lift_ban_chain(self._stores.bans, self._stores.events)
        return await run_chain(chain, {"lift": command, "change_id": new_job_id()}, result="result", kind=BanResult)

    async def change_standing(self, asked: ChangeStanding) -> Service:
        self._answer()
        occupancy = Occupancy(self._stores.deployments, self._stores.environments)
        chain = build_change_standing_chain(self._stores.services, self._stores.events, occupancy=occupancy)
        return await run_chain(chain, {"standing": asked, "change_id": new_job_id()}, result="service", kind=Service)

    async def change_line(self, asked: StopTheLine | LetTheLineGo) -> LineState:
        self._answer()
        change = LineChange(stop=asked) if isinstance(asked, StopTheLine) else LineChange(go=asked)
        made = {"change": change, "change_id": new_job_id()}
        chain = build_change_line_chain(self._stores.line, clock=own_millis)
        return (await run_chain(chain, made, result="changed", kind=LineChanged)).line

    async def begin(self, deployment: DeploymentInput) -> bool:
        self._answer()
        self.started.append(deployment)
        return await self._stores.deployments.get(deployment.deployment_id) is None

    async def known(self, deployment_id: str) -> Deployment:
        self._answer()
        found = [start for start in self.started if start.deployment_id == deployment_id]
        if not found or await self._stores.deployments.get(deployment_id) is not None:
            raise NotFound("There is no open deployment of this id.")
        return as_accepted(found[-1], own_millis())

    async def registers(self, name: str) -> bool:
        self._answer()
        return name in self.registering

    async def created(self, deployment: DeploymentInput) -> Deployment:
        self._answer()
        if self.unanswered:
            raise Accepted(Taken(asked="start", deployment_id=deployment.deployment_id))
        known = await self._stores.deployments.get(deployment.deployment_id)
        if known is not None:
            return known
        now, asked = own_millis(), deployment.request
        created = Deployment(
            deployment_id=deployment.deployment_id,
            service_version=deployment.service.version,
            git_repo=deployment.service.spec.git_repo,
            definition=deployment.service.spec,
            stages=[Stage(environment=each.name) for each in deployment.service.spec.environments],
            created_at=now,
            updated_at=now,
            created_by=deployment.created_by,
            fingerprint=deployment.fingerprint,
            **asked.model_dump(),
        )
        return await self.put(created, action="deployment.created", by=deployment.created_by, via=deployment.via)

    async def command(
        self, deployment: Deployment, command: DeploymentCommand, update_id: str | None = None
    ) -> Deployment:
        self._taken(type(command).__name__, update_id, deployment_id=deployment.deployment_id)
        present = await self._open(deployment.deployment_id)
        changes = self._changes(present, command)
        self.commands.append(command)
        action = f"deployment.{type(command).__name__.lower()}"
        return await self.put(present, action=action, by=command.by, via=command.via, **changes)

    async def roll_back_live(
        self, deployment: Deployment, command: RollbackCommand, update_id: str | None = None
    ) -> Deployment:
        """Its workflow is started again when it is gone."""
        self.lost.discard(deployment.deployment_id)
        return await self.command(deployment, command, update_id)

    async def report_metrics(self, deployment: Deployment, sample: ReportMetrics) -> None:
        await self._open(deployment.deployment_id)
        self.commands.append(sample)

    async def tell_metrics(self, deployment: Deployment, verdict: MetricsVerdict) -> None:
        await self._open(deployment.deployment_id)
        self.told.append(verdict)

    async def ask_person(self, deployment: Deployment, asked: AskPerson) -> None:
        await self._open(deployment.deployment_id)
        self.commands.append(asked)

    async def command_environment(
        self, service_name: str, environment: str, command: EnvironmentCommand, update_id: str | None = None
    ) -> EnvironmentState:
        self._answer()
        self._taken(type(command).__name__, update_id, service_name=service_name, environment=environment)
        state = await self._stores.environments.get(service_name, environment)
        state = state or EnvironmentState(service_name=service_name, environment=environment)
        event = _event("environment.commanded", command, service_name=service_name, environment=environment)
        changes = {**_environment_changes(state, command), "sequence": state.sequence + 1}
        changed = state.model_copy(update=changes)
        await self._stores.environments.write(EnvironmentWrite(state=changed, events=[event]))
        self.commands.append(command)
        return changed

    async def go_live(self, deployment_id: str, environment: str = "production") -> Deployment:
        """Not part of the interface: what the workflows do in the end."""
        deployment = await self._open(deployment_id)
        state = await self._stores.environments.get(deployment.service_name, environment)
        state = state or EnvironmentState(service_name=deployment.service_name, environment=environment)
        live = LiveVersion(
            version=deployment.version,
            deployment_id=deployment_id,
            workflow_id=workflow_id_of(deployment),
            git_commit_sha=deployment.git_commit_sha,
            since=own_millis(),
        )
        changed = state.model_copy(update={"live": live, "sequence": state.sequence + 1})
        await self._stores.environments.write(EnvironmentWrite(state=changed))
        return await self.put(deployment, status=DeploymentStatus.LIVE, live_at=own_millis())

    async def put(
        self, deployment: Deployment, *, action: str = "", by: str = "", via: str = "workflow", **changes: Any
    ) -> Deployment:
        """Write the record's next state."""
        previous = deployment.status if deployment.sequence else None
        changed = deployment.model_copy(update={**changes, "sequence": deployment.sequence + 1})
        event = AuditEvent(
            event_id=new_job_id(),
            at=own_millis(),
            action=action,
            by=by,
            via=via,
            deployment_id=deployment.deployment_id,
            service_name=deployment.service_name,
        )
        events = [event] if action else []
        await self._stores.deployments.write(DeploymentWrite(deployment=changed, previous=previous, events=events))
        return changed

    @staticmethod
    def _changes(deployment: Deployment, command: DeploymentCommand) -> dict[str, Any]:
        now = own_millis()
        if isinstance(command, Approve):
            if command.version not in {None, deployment.version}:
                raise InvalidState(f"This is version {deployment.version}, not {command.version}.")
            approval = Approval(
                environment=command.environment or "production",
                decision=Decision.APPROVE,
                by=command.by,
                at=now,
                git_commit_sha=deployment.git_commit_sha,
                comment=command.comment,
            )
            return {"approvals": [*deployment.approvals, approval]}
        if isinstance(command, Reject | CancelDeployment):
            cause = "rejected" if isinstance(command, Reject) else "cancelled"
            return {"status": DeploymentStatus.FAILED, "closed": True, "cause": cause, "error_message": command.reason}
        if isinstance(command, RollbackCommand):
            if deployment.status not in {DeploymentStatus.PRODUCTION, DeploymentStatus.LIVE}:
                raise InvalidState(f"The deployment is {deployment.status}: nothing of it is in production.")
            rollback = Rollback(
                environment="production",
                target_version=command.to_version,
                reason=command.reason,
                by=command.by,
                requested_at=now,
                status=RollbackStatus.SUCCEEDED,
            )
            return {"status": DeploymentStatus.ROLLED_BACK, "closed": True, "rollback": rollback}
        if isinstance(command, RecordStage):
            if deployment.stage(command.environment) is None:
                raise InvalidState(f"The deployment does not pass {command.environment!r}.")
            status = StageStatus.DEPLOYED if command.succeeded else StageStatus.FAILED
            stages = [
                stage.model_copy(update={"status": status, "job_ids": [command.job_id]})
                if stage.environment == command.environment
                else stage
                for stage in deployment.stages
            ]
            return {"stages": stages, "status": DeploymentStatus.STAGED, "environment": command.environment}
        return {}

    async def _open(self, deployment_id: str) -> Deployment:
        self._answer()
        deployment = await self._stores.deployments.get(deployment_id)
        if deployment is None or deployment.closed or deployment_id in self.lost:
            raise NotFound("There is no open workflow of this id: it never existed, or it has ended.")
        return deployment

    def _taken(self, asked: str, update_id: str | None, **subject: str) -> None:
        self.update_ids.append(update_id)
        if self.unanswered:
            raise Accepted(Taken.model_validate({"asked": asked.lower(), "update_id": update_id, **subject}))

    def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure


def _environment_changes(state: EnvironmentState, command: EnvironmentCommand) -> dict[str, Any]:
    now = own_millis()
    match command:
        case HoldCommand():
            return {"hold": Hold(by=command.by, reason=command.reason, at=now)}
        case RetireCommand():
            return {"live": None, "holder": None}
        case ReleaseCommand():
            if state.hold is None:
                raise InvalidState(f"{state.environment} is not on hold.")
            return {"hold": None}
        case FreezeCommand():
            freeze = Freeze(
                freeze_id=command.freeze_id,
                name=command.name,
                starts_at=now if command.starts_at is None else command.starts_at,
                ends_at=command.ends_at,
                by=command.by,
                reason=command.reason,
            )
            others = [each for each in state.freezes if each.freeze_id != command.freeze_id]
            return {"freezes": [*others, freeze]}
        case UnfreezeCommand():
            return {"freezes": [each for each in state.freezes if each.freeze_id != command.freeze_id]}


def _event(action: str, signature: Any, *, service_name: str, environment: str | None = None) -> AuditEvent:
    return AuditEvent(
        event_id=new_job_id(),
        at=own_millis(),
        action=action,
        by=signature.by,
        via=signature.via,
        address=signature.address,
        reason=getattr(signature, "reason", None),
        service_name=service_name,
        environment=environment,
    )
