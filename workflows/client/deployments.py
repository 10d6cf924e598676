"""Talking to the workflows of deployments, environments and services from outside: start, command, ask.

Temporal's own errors end here, as in ``jobs``: callers see ``contracts.errors`` only.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows.client.answers import ANSWERED_WITHIN_SECONDS, RPC_TIMEOUT, answer, carried_out, changed, outcome_of
from workflows.client.known import state_of
from workflows.client.line import change_line
from workflows.client.live import live_again
from workflows.client.proving import Prover
from workflows.contracts.accepted import Accepted, Taken
from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.bans import BanCommand, BanResult, LiftBan
from workflows.contracts.deployments.commands import (
    Abort,
    Approve,
    AskPerson,
    CancelDeployment,
    DeploymentInput,
    OverrideFreeze,
    Promote,
    RecordStage,
    Reject,
    ReportMetrics,
    Resume,
    RollbackCommand,
    SkipStep,
)
from workflows.contracts.deployments.deployment import (
    Deployment,
)
from workflows.contracts.deployments.environments import (
    EnvironmentInput,
    EnvironmentState,
    FreezeCommand,
    HoldCommand,
    ReleaseCommand,
    RetireCommand,
    UnfreezeCommand,
)
from workflows.contracts.deployments.line import LetTheLineGo, LineState, StopTheLine
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.metrics import MetricsVerdict
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import Service, ServiceWrite
from workflows.contracts.deployments.standing import ChangeStanding
from workflows.contracts.errors import InvalidState, NotFound, Unavailable
from workflows.contracts.ids import (
    CONTROL_QUEUE,
    ban_workflow_id,
    deployment_workflow_id,
    environment_workflow_id,
    is_uuid,
    new_job_id,
    service_workflow_id,
)
from workflows.dashboard import memo_of
from workflows.deployment.presentation import (
    deployment_search_attributes,
    deployment_static_details,
    deployment_static_summary,
)
from workflows.deployment.record import as_accepted
from workflows.environment.presentation import environment_search_attributes, environment_static_summary

T = TypeVar("T")
DeploymentCommand = (
    Approve
    | Reject
    | RollbackCommand
    | Resume
    | Promote
    | SkipStep
    | Abort
    | CancelDeployment
    | OverrideFreeze
    | RecordStage
)
EnvironmentCommand = HoldCommand | ReleaseCommand | FreezeCommand | UnfreezeCommand | RetireCommand

_DEPLOYMENT_UPDATES: Final[dict[type[Tolerant] | type[Any], str]] = {
    Approve: "approve",
    Reject: "reject",
    RollbackCommand: "rollback",
    Resume: "resume",
    Promote: "promote",
    SkipStep: "skip_step",
    Abort: "abort",
    CancelDeployment: "cancel",
    OverrideFreeze: "override_freeze",
    RecordStage: "record_stage",
}
_ENVIRONMENT_UPDATES: Final[dict[type[Any], str]] = {
    HoldCommand: "hold",
    ReleaseCommand: "release",
    FreezeCommand: "freeze",
    UnfreezeCommand: "unfreeze",
    RetireCommand: "retire",
}
_NEWEST: Final = 500
"""Of the open deployments, so many are searched for one without a record."""
_MOST_AT_ONCE: Final = 8
"""Temporal takes 10 updates of one workflow at once, and when more are sent it answers hardly any for a minute."""


class DeploymentClient:
    """All that a process outside Temporal may ask of deployments, environments and services.

    Every method raises Unavailable when Temporal (or the control worker) does not answer in 15 s, NotFound when there
    is no such open workflow, InvalidState when it refuses, ValidationFailed when the request is malformed. Commands
    raise Accepted when the workflow has taken them, durably, but does not answer in 5 s. The same ``update_id`` again
    gives the first answer and does nothing.
    """

    def __init__(self, client: Client, prover: Prover | None = None, dashboard: str | None = None) -> None:
        self._client, self._prover, self._dashboard = client, prover or Prover(), dashboard
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def apply_service(self, write: ServiceWrite) -> Service:
        """Register or change a service; returns it as it is stored then. Raises Accepted when it is stored later."""
        return await self._of_service("ServiceWorkflow", write, f"Register service {write.name}", asked="register")

    async def decide_policy_change(self, decision: DecidePolicyChange) -> Service:
        """Say yes or no to a change that waits; returns the service as it is stored then. Raises Accepted likewise,
        InvalidState when no change waits in that version or the caller may not say yes.
        """
        said = "approve" if decision.approve else "reject"
        summary = f"Another policy of {decision.name}: {said}"
        return await self._of_service("PolicyDecisionWorkflow", decision, summary, asked=f"{said}_policy_change")

    async def change_standing(self, asked: ChangeStanding) -> Service:
        """Archive a service, take it into use again or delete it. Raises Accepted likewise, NotFound, InvalidState when
        something is in the way.
        """
        return await self._of_service("StandingWorkflow", asked, f"{asked.name}: {asked.to}", asked=asked.to.value)

    async def _of_service(
        self, workflow: str, change: ServiceWrite | DecidePolicyChange | ChangeStanding, summary: str, *, asked: str
    ) -> Service:
        workflow_id = service_workflow_id(change.name, new_job_id())
        return await self._soon(workflow, change, workflow_id, summary, Service, asked=asked)

    async def _soon(
        self,
        workflow: str,
        change: ServiceWrite | DecidePolicyChange | ChangeStanding | BanCommand | LiftBan,
        workflow_id: str,
        summary: str,
        kind: type[T],
        *,
        asked: str,
    ) -> T:
        """The result of a short workflow."""
        handle = await changed(
            self._client.start_workflow(
                workflow,
                self._prover.proven(change, workflow_id),
                id=workflow_id,
                task_queue=CONTROL_QUEUE,
                result_type=kind,
                static_summary=summary,
                rpc_timeout=RPC_TIMEOUT,
            )
        )
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_SECONDS):
                return await answer(handle.result())
        except (Unavailable, TimeoutError) as error:
            raise Accepted(Taken(asked=asked, service_name=change.name)) from error

    async def ban(self, command: BanCommand) -> BanResult:
        """Ban a version or a commit; what is banned of the service then. Raises Accepted when it is stored later,
        InvalidState when there are too many.
        """
        return await self._of_bans("BanWorkflow", command, f"Ban of {command.name}", asked="ban")

    async def lift_ban(self, command: LiftBan) -> BanResult:
        """Lift every ban of a version or a commit. Raises Accepted likewise, InvalidState when it is not banned."""
        return await self._of_bans("LiftBanWorkflow", command, f"Ban of {command.name} is lifted", asked="unban")

    async def _of_bans(self, workflow: str, command: BanCommand | LiftBan, summary: str, *, asked: str) -> BanResult:
        workflow_id = ban_workflow_id(command.name, new_job_id())
        return await self._soon(workflow, command, workflow_id, summary, BanResult, asked=asked)

    async def change_line(self, asked: StopTheLine | LetTheLineGo) -> LineState:
        """Stop many services at once, or let them go; returns the line as it is then. Raises Accepted likewise."""
        return await change_line(self._client, self._prover, asked)

    async def registers(self, name: str) -> bool:
        """True while a registration or change of a service is under way."""
        prefix = service_workflow_id(name, "")
        query = f"WorkflowType='ServiceWorkflow' AND ExecutionStatus='Running' AND WorkflowId STARTS_WITH '{prefix}'"
        found = self._client.list_workflows(query, limit=_NEWEST, page_size=_NEWEST, rpc_timeout=RPC_TIMEOUT)

        async def search() -> bool:
            return any([is_uuid(each.id.removeprefix(prefix)) async for each in found])  # not of `<name>-…`

        return await answer(search())

    async def start(self, deployment: DeploymentInput) -> Deployment:
        """Start a deployment and return its record once it is readable.

        An id that exists already starts nothing and returns that deployment, open or closed: compare ``fingerprint``.
        Raises Accepted when it is started, but its record does not come.
        """
        await self.begin(deployment)
        return await self.created(deployment)

    async def begin(self, deployment: DeploymentInput) -> bool:
        """Start a deployment; True when it is new. False: the id exists, open or closed."""
        workflow_id = _workflow_id(deployment)
        try:
            await changed(
                self._client.start_workflow(
                    "DeploymentWorkflow",
                    self._prover.proven(deployment, workflow_id),
                    id=workflow_id,
                    task_queue=CONTROL_QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    result_type=Deployment,
                    search_attributes=deployment_search_attributes(deployment),
                    static_summary=deployment_static_summary(deployment),
                    static_details=deployment_static_details(deployment, self._dashboard),
                    memo=memo_of(self._dashboard),
                    rpc_timeout=RPC_TIMEOUT,
                )
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def created(self, deployment: DeploymentInput) -> Deployment:
        """The record of a deployment that was begun, once it can be read.

        Raises Accepted when it cannot be written now, Unavailable when its workflow is not known to have been asked.
        """
        handle = self._client.get_workflow_handle(_workflow_id(deployment))
        try:
            return await carried_out(
                lambda: handle.start_update(  # pyright: ignore[reportUnknownMemberType]
                    "created",
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    result_type=Deployment,
                    rpc_timeout=RPC_TIMEOUT,
                ),
                Taken(asked="start", deployment_id=deployment.deployment_id),
            )
        except (InvalidState, NotFound):
            ended = self._client.get_workflow_handle(handle.id, result_type=Deployment)
            return await outcome_of(ended, Deployment, "The workflow of this deployment")

    async def known(self, deployment_id: str) -> Deployment:
        """An open deployment as its workflow has it, for as long as it has no record; as it was accepted, when that
        does not answer now. Looked for among the newest. Raises NotFound when there is none, Unavailable.
        """
        newest = self._client.list_workflows(
            "WorkflowType='DeploymentWorkflow' AND ExecutionStatus='Running'",
            limit=_NEWEST,
            page_size=_NEWEST,
            rpc_timeout=RPC_TIMEOUT,
        )

        async def search() -> str | None:
            found = [each.id async for each in newest if each.id.endswith(f"-{deployment_id}")]
            return found[0] if found else None

        workflow_id = await answer(search())
        if workflow_id is None:
            raise NotFound("There is no open deployment of this id.")
        return await state_of(self._client, workflow_id, Deployment, DeploymentInput, as_accepted)

    async def command(
        self, deployment: Deployment, command: DeploymentCommand, update_id: str | None = None
    ) -> Deployment:
        """Send a command to the deployment's workflow; returns the record as the command left it."""
        handle, update_id = self._client.get_workflow_handle(workflow_id_of(deployment)), update_id or str(uuid.uuid4())
        name, proven = _DEPLOYMENT_UPDATES[type(command)], self._prover.proven(command, handle.id)
        return await self._in_turn(
            handle.id,
            lambda: handle.start_update(  # pyright: ignore[reportUnknownMemberType]
                name,
                proven,
                id=update_id,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                result_type=Deployment,
                rpc_timeout=RPC_TIMEOUT,
            ),
            _taken(name, deployment, update_id),
        )

    async def roll_back_live(
        self, deployment: Deployment, command: RollbackCommand, update_id: str | None = None
    ) -> Deployment:
        """Roll back what is live, also when its workflow is gone: it is started again for it. The record as the command
        left it.
        """
        update_id = update_id or str(uuid.uuid4())
        again = live_again(deployment, LiveAgain(by=command.by or ""), self._dashboard)
        name, proven = _DEPLOYMENT_UPDATES[RollbackCommand], self._prover.proven(command, again["id"])

        def send() -> Awaitable[WorkflowUpdateHandle[Deployment]]:
            start: WithStartWorkflowOperation[Any, Deployment] = WithStartWorkflowOperation(
                **again, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING, result_type=Deployment
            )
            return self._client.start_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                name,
                proven,
                id=update_id,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                start_workflow_operation=start,
                result_type=Deployment,
                rpc_timeout=RPC_TIMEOUT,
            )

        return await self._in_turn(again["id"], send, _taken(name, deployment, update_id))

    async def report_metrics(self, deployment: Deployment, sample: ReportMetrics) -> None:
        """Hand a sample to the deployment's workflow, which has it kept and judged; this does not wait for it. The API
        keeps and judges samples itself, and tells of what has changed (``tell_metrics``).
        """
        handle = self._client.get_workflow_handle(workflow_id_of(deployment))
        await answer(handle.signal("report_metrics", sample, rpc_timeout=RPC_TIMEOUT))

    async def tell_metrics(self, deployment: Deployment, verdict: MetricsVerdict) -> None:
        """Tell the deployment's workflow of rows of metrics that are otherwise than it knows."""
        handle = self._client.get_workflow_handle(workflow_id_of(deployment))
        await answer(handle.signal("metrics_verdict", verdict, rpc_timeout=RPC_TIMEOUT))

    async def ask_person(self, deployment: Deployment, asked: AskPerson) -> None:
        """Have a person asked whether it is rolled back."""
        handle = self._client.get_workflow_handle(workflow_id_of(deployment))
        await answer(handle.signal("ask_person", asked, rpc_timeout=RPC_TIMEOUT))

    async def command_environment(
        self, service_name: str, environment: str, command: EnvironmentCommand, update_id: str | None = None
    ) -> EnvironmentState:
        """Hold, release, freeze or unfreeze; starts the environment's workflow when there is none yet."""
        name, update_id = _ENVIRONMENT_UPDATES[type(command)], update_id or str(uuid.uuid4())
        workflow_id = environment_workflow_id(service_name, environment)
        proven = self._prover.proven(command, workflow_id)

        def send() -> Awaitable[WorkflowUpdateHandle[EnvironmentState]]:
            start: WithStartWorkflowOperation[Any, EnvironmentState] = WithStartWorkflowOperation(
                "EnvironmentWorkflow",
                EnvironmentInput(service_name=service_name, environment=environment),
                id=workflow_id,
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                result_type=EnvironmentState,
                search_attributes=environment_search_attributes(service_name, environment),
                static_summary=environment_static_summary(service_name, environment),
            )
            return self._client.start_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                name,
                proven,
                id=update_id,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                start_workflow_operation=start,
                result_type=EnvironmentState,
                rpc_timeout=RPC_TIMEOUT,
            )

        taken = Taken(asked=name, service_name=service_name, environment=environment, update_id=update_id)
        return await self._in_turn(workflow_id, send, taken)

    async def _in_turn(
        self, workflow_id: str, send: Callable[[], Awaitable[WorkflowUpdateHandle[T]]], taken: Taken
    ) -> T:
        """Not too many of one workflow at once; waiting for one's turn is part of the 15 s."""
        gate = self._gates.setdefault(workflow_id, asyncio.Semaphore(_MOST_AT_ONCE))
        by = asyncio.get_running_loop().time() + RPC_TIMEOUT.total_seconds()
        await changed(asyncio.wait_for(gate.acquire(), RPC_TIMEOUT.total_seconds()))
        try:
            return await carried_out(send, taken, by=by)
        finally:
            gate.release()


def _taken(name: str, deployment: Deployment, update_id: str) -> Taken:
    return Taken(
        asked=name,
        deployment_id=deployment.deployment_id,
        service_name=deployment.service_name,
        update_id=update_id,
    )


def workflow_id_of(deployment: Deployment) -> str:
    """The id of a deployment's workflow."""
    return deployment_workflow_id(deployment.service_name, deployment.version, deployment.deployment_id)


def _workflow_id(start: DeploymentInput) -> str:
    return deployment_workflow_id(start.request.service_name, start.request.version, start.deployment_id)
