"""What people and other CIs say about a deployment: one route for each command, all to its workflow.

A refusal is 409 with the reason. Commands answer with the record as they left it; what they set in motion goes on.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth.origin import CommandOriginDep, Origin, OriginDep, signed
from api.auth.vouching import Giver
from api.deployments.ports import DeploymentPorts, DeploymentPortsDep
from api.deployments.schemas import (
    ApproveRequest,
    CancelDeploymentRequest,
    DeploymentOut,
    MetricsAccepted,
    MetricsRequest,
    PromoteRequest,
    RecordStageRequest,
    RejectRequest,
    ReportedStatus,
    RollbackRequest,
    StatedReasonRequest,
    deployment_json,
)
from api.deployments.service import command_deployment, lift_ban_of_target, report_metrics
from api.deployments.waiting import with_what_it_waits_for
from api.http.accepted import ACCEPTED
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.ids import DeploymentId, KnownEnvironment
from api.temporal.recorded import seen_deployment
from workflows.client.deployments import DeploymentCommand
from workflows.contracts.deployments.commands import (
    Abort,
    Approve,
    CancelDeployment,
    OverrideFreeze,
    Promote,
    RecordStage,
    Reject,
    ReportMetrics,
    Resume,
    RollbackCommand,
    SkipStep,
)
from workflows.contracts.deployments.services import PRODUCTION, STAGING

router = APIRouter(prefix="/api/dashboard/deployments/{deployment_id}", tags=["deployments"])
ReasonBody = Annotated[StatedReasonRequest, Depends(json_body(StatedReasonRequest))]
RecordBody = Annotated[RecordStageRequest, Depends(json_body(RecordStageRequest))]


@router.post("/approve", response_model=DeploymentOut, responses=ACCEPTED, summary="Say yes")
async def approve_deployment(
    deployment_id: DeploymentId,
    request: Annotated[ApproveRequest, Depends(json_body(ApproveRequest, optional=True))],
    ports: DeploymentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """To this version in the environment that waits for it. During a freeze it is kept and counts when it ends."""
    caller = origin.caller
    giver = Giver(ports.voucher.people.of(caller.bearer), request.by, caller.credential_id)
    return await _told(ports, deployment_id, origin, signed(Approve, request, origin), giver)


@router.post("/reject", response_model=DeploymentOut, responses=ACCEPTED, summary="Say no")
async def reject_deployment(
    deployment_id: DeploymentId,
    request: Annotated[RejectRequest, Depends(json_body(RejectRequest))],
    ports: DeploymentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """One no ends the deployment."""
    return await _told(ports, deployment_id, origin, signed(Reject, request, origin))


@router.post("/rollback", response_model=DeploymentOut, responses=ACCEPTED, summary="Roll back")
async def rollback_deployment(
    deployment_id: DeploymentId,
    request: Annotated[RollbackRequest, Depends(json_body(RollbackRequest))],
    ports: DeploymentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """At once, without queue and approval, to what was live before; then nothing rolls forward until it is released."""
    command = signed(RollbackCommand, request, origin, without=frozenset({"lift_ban"}))
    deployment = (await seen_deployment(ports, deployment_id)).record
    await lift_ban_of_target(ports, origin, deployment.service_name, request)
    return await _told(ports, deployment_id, origin, command)


@router.post("/resume", response_model=DeploymentOut, responses=ACCEPTED, summary="Go on after a pause")
async def resume_deployment(
    deployment_id: DeploymentId, request: ReasonBody, ports: DeploymentPortsDep, origin: CommandOriginDep
) -> Response:
    """Where verification could not tell, an operator does."""
    return await _told(ports, deployment_id, origin, signed(Resume, request, origin))


@router.post("/promote", response_model=DeploymentOut, responses=ACCEPTED, summary="Go on with a rollout")
async def promote_deployment(
    deployment_id: DeploymentId,
    request: Annotated[PromoteRequest, Depends(json_body(PromoteRequest))],
    ports: DeploymentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Past the present pause or freeze; `full`: to 100 % without any further one. Verification and approvals stay."""
    return await _told(ports, deployment_id, origin, signed(Promote, request, origin))


@router.post("/skip-step", response_model=DeploymentOut, responses=ACCEPTED, summary="Leave a step of a rollout out")
async def skip_step(
    deployment_id: DeploymentId, request: ReasonBody, ports: DeploymentPortsDep, origin: CommandOriginDep
) -> Response:
    """The present pause; where a freeze or a hold stops it, the next percentage."""
    return await _told(ports, deployment_id, origin, signed(SkipStep, request, origin))


@router.post("/abort", response_model=DeploymentOut, responses=ACCEPTED, summary="Stop a rollout")
async def abort_deployment(
    deployment_id: DeploymentId, request: ReasonBody, ports: DeploymentPortsDep, origin: CommandOriginDep
) -> Response:
    """Back to what was live; in an environment before the last one, it ends."""
    return await _told(ports, deployment_id, origin, signed(Abort, request, origin))


@router.post("/cancel", response_model=DeploymentOut, responses=ACCEPTED, summary="Cancel")
async def cancel_deployment(
    deployment_id: DeploymentId,
    request: Annotated[CancelDeploymentRequest, Depends(json_body(CancelDeploymentRequest, optional=True))],
    ports: DeploymentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Ends it. Once something was rolled out into the last environment, this rolls back."""
    return await _told(ports, deployment_id, origin, signed(CancelDeployment, request, origin))


@router.post(
    "/override-freeze", response_model=DeploymentOut, responses=ACCEPTED, summary="Do not wait for the freeze to end"
)
async def override_freeze(
    deployment_id: DeploymentId, request: ReasonBody, ports: DeploymentPortsDep, origin: CommandOriginDep
) -> Response:
    """For this deployment only; the reason is in the audit trail."""
    return await _told(ports, deployment_id, origin, signed(OverrideFreeze, request, origin))


@router.post(
    "/staging", response_model=DeploymentOut, responses=ACCEPTED, summary="Record what another CI did in staging"
)
async def record_staging(
    deployment_id: DeploymentId, request: RecordBody, ports: DeploymentPortsDep, origin: CommandOriginDep
) -> Response:
    """For an external environment of this name."""
    return await _told(ports, deployment_id, origin, _recorded(request, STAGING, origin))


@router.post(
    "/production", response_model=DeploymentOut, responses=ACCEPTED, summary="Record what another CI did in production"
)
async def record_production(
    deployment_id: DeploymentId, request: RecordBody, ports: DeploymentPortsDep, origin: CommandOriginDep
) -> Response:
    """For an external environment of this name."""
    return await _told(ports, deployment_id, origin, _recorded(request, PRODUCTION, origin))


@router.post(
    "/environments/{environment}",
    response_model=DeploymentOut,
    responses=ACCEPTED,
    summary="Record what another CI did in an environment",
)
async def record_stage(
    deployment_id: DeploymentId,
    environment: KnownEnvironment,
    request: RecordBody,
    ports: DeploymentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """For any external environment."""
    return await _told(ports, deployment_id, origin, _recorded(request, environment, origin))


@router.post("/metrics", status_code=202, response_model=MetricsAccepted, summary="Report metrics")
async def report_deployment_metrics(
    deployment_id: DeploymentId,
    request: Annotated[MetricsRequest, Depends(json_body(MetricsRequest))],
    ports: DeploymentPortsDep,
    origin: OriginDep,
) -> Response:
    """One sample; each metric is compared with its limit where the deployment stands. Equal time and source replaces. A
    breach can roll the version back.
    """
    await report_metrics(ports, deployment_id, signed(ReportMetrics, request, origin))
    accepted = MetricsAccepted(deployment_id=deployment_id, url=f"/api/dashboard/deployments/{deployment_id}")
    return json_answer(accepted.model_dump_json().encode(), 202)


def _recorded(request: RecordStageRequest, environment: str, origin: Origin) -> RecordStage:
    succeeded = request.status is ReportedStatus.SUCCESS
    return signed(
        RecordStage, request, origin, without=frozenset({"status"}), environment=environment, succeeded=succeeded
    )


async def _told(
    ports: DeploymentPorts, deployment_id: str, origin: Origin, command: DeploymentCommand, giver: Giver | None = None
) -> Response:
    record = await command_deployment(ports, deployment_id, command, origin.update_id(command), giver=giver)
    return json_answer(deployment_json(await with_what_it_waits_for(ports, record)))
