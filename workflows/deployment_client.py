"""Talking to the workflows of deployments, environments and services from outside: start, command, ask.

Temporal's own errors end here, as in ``client``: callers see ``contracts.errors`` only.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows.client import RPC_TIMEOUT, answer, updated
from workflows.contracts.base import Tolerant
from workflows.contracts.deployment_commands import (
    Approve,
    CancelDeployment,
    DeploymentInput,
    OverrideFreeze,
    RecordStage,
    Reject,
    ReportMetrics,
    Resume,
    RollbackCommand,
)
from workflows.contracts.deployments import Deployment
from workflows.contracts.environments import (
    EnvironmentInput,
    EnvironmentState,
    FreezeCommand,
    HoldCommand,
    ReleaseCommand,
    UnfreezeCommand,
)
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.ids import (
    CONTROL_QUEUE,
    deployment_workflow_id,
    environment_workflow_id,
    new_job_id,
    service_workflow_id,
)
from workflows.contracts.services import Service, ServiceWrite
from workflows.deployment.presentation import (
    deployment_search_attributes,
    deployment_static_details,
    deployment_static_summary,
)
from workflows.environment.presentation import environment_search_attributes, environment_static_summary

T = TypeVar("T")
DeploymentCommand = Approve | Reject | RollbackCommand | Resume | CancelDeployment | OverrideFreeze | RecordStage
EnvironmentCommand = HoldCommand | ReleaseCommand | FreezeCommand | UnfreezeCommand

_DEPLOYMENT_UPDATES: Final[dict[type[Tolerant] | type[Any], str]] = {
    Approve: "approve",
    Reject: "reject",
    RollbackCommand: "rollback",
    Resume: "resume",
    CancelDeployment: "cancel",
    OverrideFreeze: "override_freeze",
    RecordStage: "record_stage",
}
_ENVIRONMENT_UPDATES: Final[dict[type[Any], str]] = {
    HoldCommand: "hold",
    ReleaseCommand: "release",
    FreezeCommand: "freeze",
    UnfreezeCommand: "unfreeze",
}
_MOST_AT_ONCE: Final = 8
"""Temporal takes 10 updates of one workflow at once, and when more are sent it answers hardly any for a minute."""


class Deployments:
    """All that a process outside Temporal may ask of deployments, environments and services.

    Every method raises Unavailable when Temporal (or the control worker) does not answer in 15 s, NotFound when there
    is no such open workflow, InvalidState when it refuses, ValidationFailed when the request is malformed.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def apply_service(self, write: ServiceWrite) -> Service:
        """Register or change a service; returns it as it is stored then."""
        handle = await answer(
            self._client.start_workflow(
                "ServiceWorkflow",
                write,
                id=service_workflow_id(write.name, new_job_id()),
                task_queue=CONTROL_QUEUE,
                result_type=Service,
                static_summary=f"Register service {write.name}",
                rpc_timeout=RPC_TIMEOUT,
            )
        )
        return await answer(handle.result(rpc_timeout=RPC_TIMEOUT))

    async def start(self, deployment: DeploymentInput) -> Deployment:
        """Start a deployment and return its record once it is readable.

        An id that exists already starts nothing and returns that deployment, open or closed: compare ``fingerprint``.
        """

        def send() -> Awaitable[Deployment]:
            start: WithStartWorkflowOperation[Any, Deployment] = WithStartWorkflowOperation(
                "DeploymentWorkflow",
                deployment,
                id=_workflow_id(deployment),
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                result_type=Deployment,
                search_attributes=deployment_search_attributes(deployment),
                static_summary=deployment_static_summary(deployment),
                static_details=deployment_static_details(deployment),
            )
            return self._client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                "created", start_workflow_operation=start, result_type=Deployment, rpc_timeout=RPC_TIMEOUT
            )

        try:
            return await answer(updated(send))
        except (WorkflowAlreadyStartedError, InvalidState, NotFound):
            return await self._result(_workflow_id(deployment))

    async def command(self, deployment: Deployment, command: DeploymentCommand) -> Deployment:
        """Send a command to the deployment's workflow; returns the record as the command left it."""
        handle, update_id = self._client.get_workflow_handle(workflow_id_of(deployment)), str(uuid.uuid4())
        return await self._in_turn(
            handle.id,
            lambda: handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                _DEPLOYMENT_UPDATES[type(command)],
                command,
                id=update_id,
                result_type=Deployment,
                rpc_timeout=RPC_TIMEOUT,
            ),
        )

    async def report_metrics(self, deployment: Deployment, sample: ReportMetrics) -> None:
        """Hand a sample to the deployment's workflow. It is judged there; this does not wait for it."""
        handle = self._client.get_workflow_handle(workflow_id_of(deployment))
        await answer(handle.signal("report_metrics", sample, rpc_timeout=RPC_TIMEOUT))

    async def command_environment(
        self, service_name: str, environment: str, command: EnvironmentCommand
    ) -> EnvironmentState:
        """Hold, release, freeze or unfreeze; starts the environment's workflow when there is none yet."""
        update_id = str(uuid.uuid4())

        def send() -> Awaitable[EnvironmentState]:
            start: WithStartWorkflowOperation[Any, EnvironmentState] = WithStartWorkflowOperation(
                "EnvironmentWorkflow",
                EnvironmentInput(service_name=service_name, environment=environment),
                id=environment_workflow_id(service_name, environment),
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                result_type=EnvironmentState,
                search_attributes=environment_search_attributes(service_name, environment),
                static_summary=environment_static_summary(service_name, environment),
            )
            return self._client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                _ENVIRONMENT_UPDATES[type(command)],
                command,
                id=update_id,
                start_workflow_operation=start,
                result_type=EnvironmentState,
                rpc_timeout=RPC_TIMEOUT,
            )

        return await self._in_turn(environment_workflow_id(service_name, environment), send)

    async def _in_turn(self, workflow_id: str, send: Callable[[], Awaitable[T]]) -> T:
        """Not too many of one workflow at once; waiting for one's turn is part of the 15 s."""
        gate = self._gates.setdefault(workflow_id, asyncio.Semaphore(_MOST_AT_ONCE))

        async def ask() -> T:
            async with asyncio.timeout(RPC_TIMEOUT.total_seconds()), gate:
                return await updated(send)

        return await answer(ask())

    async def _result(self, workflow_id: str) -> Deployment:
        handle = self._client.get_workflow_handle(workflow_id, result_type=Deployment)
        description = await answer(handle.describe(rpc_timeout=RPC_TIMEOUT))
        if description.status is not WorkflowExecutionStatus.COMPLETED:
            name = description.status.name.lower() if description.status else "unknown"
            raise InvalidState(
                f"The workflow of this deployment was {name} from outside; start it again with a new key."
            )
        return await answer(handle.result())


def workflow_id_of(deployment: Deployment) -> str:
    """The id of a deployment's workflow."""
    return deployment_workflow_id(deployment.service_name, deployment.version, deployment.deployment_id)


def _workflow_id(start: DeploymentInput) -> str:
    return deployment_workflow_id(start.request.service_name, start.request.version, start.deployment_id)
