"""Workflows that cannot go on: which they are, and their repair."""

import asyncio
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from api.auth.guard import Caller
from api.auth.origin import Origin, OriginDep, signed
from api.auth.reach import within
from api.auth.resources import Resource
from api.deployments.service import require_environment
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.errors import ProblemCode, problem
from api.http.ids import DeploymentId, JobId, KnownEnvironment, KnownService
from api.system.checks import Checks
from api.system.ports import ChecksDep, SystemPorts, SystemPortsDep
from api.system.schemas.repairs import ProcessOut, RepairOut, RepairRequest, StuckOut, SystemHealth
from workflows.client.deployments import workflow_id_of
from workflows.contracts.errors import FieldError, Unavailable
from workflows.contracts.ids import environment_workflow_id, job_workflow_id
from workflows.contracts.repairs import Kind, Repair, RepairInput, RepairOutcome, StuckWorkflow, Subject
from workflows.version import product_version

router = APIRouter(tags=["maintenance"])
_SHOWN: Final = 50
_UNDER_WAY: Final = "The repair is under way; the audit trail tells its end, as workflow.repaired."
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {202: {"model": RepairOut, "description": "It is under way."}}
Body = Annotated[RepairRequest, Depends(json_body(RepairRequest))]


@router.get("/health/system", response_model=SystemHealth, summary="Is all of it well? Is anything stuck?")
async def system_health(request: Request, ports: SystemPortsDep, checks: ChecksDep, caller: Caller) -> Response:
    """Workflows that cannot go on, as Temporal reports them, each with the command that cures it.

    503 when a part of the whole is not well: the problem names each (``temporal``, ``dynamodb``, ``worker``, ``disk``,
    ``store``) and what to do, and has the members of this answer besides. What it says is up to 30 s old.
    """
    needed, whole = await asyncio.gather(checks.needed(), checks.whole())
    unwell = {**needed, **whole}
    try:
        stuck = within(caller, await ports.repair_client.stuck(), _resource)
    except Unavailable as error:
        stuck, unwell = [], {"temporal": error.message, **unwell}
    health = SystemHealth(
        status="degraded" if unwell else "stuck" if stuck else "healthy",
        version=product_version(),
        stuck=len(stuck),
        by_type=dict(sorted(Counter(each.workflow_type for each in stuck).items())),
        items=[_shown(each) for each in stuck[:_SHOWN]],
        processes=[ProcessOut(**asdict(each)) for each in await ports.running.seen()],
        **await _sealed(checks),
    )
    if not unwell:
        return json_answer(health.model_dump_json().encode())
    errors = [FieldError(field=name, message=wrong) for name, wrong in sorted(unwell.items())]
    more = health.model_dump(mode="json", exclude={"status"})
    return problem(request, ProblemCode.DEGRADED, f"Not well: {', '.join(sorted(unwell))}.", errors=errors, more=more)


@router.post(
    "/api/dashboard/jobs/{job_id}/repair",
    response_model=RepairOut,
    responses=_RESPONSES,
    summary="Repair a job whose workflow is stuck",
)
async def repair_job(job_id: JobId, request: Body, ports: SystemPortsDep, origin: OriginDep) -> Response:
    """It goes on from its last good task, or ends as an error when a command would run twice (or with ``end``).

    409 for one that is not stuck.
    """
    job = await ports.reader.get(job_id)
    subject = Subject(kind=Kind.JOB, workflow_id=job_workflow_id(job_id), job_id=job_id, pool=job.pool)
    return await _repair(ports, origin, subject, request)


@router.post(
    "/api/dashboard/deployments/{deployment_id}/repair",
    response_model=RepairOut,
    responses=_RESPONSES,
    summary="Repair a deployment whose workflow is stuck",
)
async def repair_deployment(
    deployment_id: DeploymentId, request: Body, ports: SystemPortsDep, origin: OriginDep
) -> Response:
    """As for a job; one that is ended gives its environment's lock back, and what is live stays live."""
    deployment = await ports.deployments.get(deployment_id)
    subject = Subject(
        kind=Kind.DEPLOYMENT,
        workflow_id=workflow_id_of(deployment),
        deployment_id=deployment_id,
        service_name=deployment.service_name,
        environment=deployment.environment,
        version=deployment.version,
    )
    return await _repair(ports, origin, subject, request)


@router.post(
    "/api/dashboard/services/{name}/environments/{environment}/repair",
    response_model=RepairOut,
    responses=_RESPONSES,
    summary="Repair an environment whose workflow is stuck",
)
async def repair_environment(
    name: KnownService, environment: KnownEnvironment, request: Body, ports: SystemPortsDep, origin: OriginDep
) -> Response:
    """As for a job; one that is ended starts anew from its record: who holds the lock, who waits, what is live."""
    await require_environment(ports, name, environment)
    subject = Subject(
        kind=Kind.ENVIRONMENT,
        workflow_id=environment_workflow_id(name, environment),
        service_name=name,
        environment=environment,
    )
    return await _repair(ports, origin, subject, request)


async def _sealed(checks: Checks) -> dict[str, int]:
    """The last seal; nothing while the store does not answer, which is told itself."""
    try:
        last = await checks.last_seal()
        return {} if last is None else {"last_seal": last.number, "sealed_at": last.seal.sealed_at}
    except (Unavailable, ValueError):
        return {}


async def _repair(ports: SystemPorts, origin: Origin, subject: Subject, request: RepairRequest) -> Response:
    start = RepairInput(subject=subject, command=signed(Repair, request, origin))
    result = await ports.repair_client.repair(start)
    if result is None:
        answer = RepairOut(workflow_id=subject.workflow_id, outcome=RepairOutcome.UNDER_WAY, message=_UNDER_WAY)
        return json_answer(answer.model_dump_json().encode(), 202)
    return json_answer(RepairOut(**result.model_dump()).model_dump_json().encode())


def _resource(stuck: StuckWorkflow) -> Resource:
    return Resource(service=stuck.service_name, pool=stuck.pool)


def _shown(stuck: StuckWorkflow) -> StuckOut:
    message = f"{stuck} cannot go on: its workflow task fails again and again."
    return StuckOut(**stuck.model_dump(), repair=stuck.command, message=message)
