"""Bans of a service: show them, ban a version or a commit, lift bans. Changes go through a workflow."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth.origin import OriginDep, signed
from api.bans.schemas import BanRequest, Bans, BansChanged, UnbanRequest, bans_of, changed_bans
from api.deployments.ports import DeploymentPortsDep
from api.http.accepted import ACCEPTED
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.ids import KnownService
from workflows.contracts.deployments.bans import BanCommand, LiftBan

router = APIRouter(prefix="/api/dashboard/services/{name}/bans", tags=["services"])


@router.get("", response_model=Bans, summary="List what is banned of a service")
async def list_bans(name: KnownService, ports: DeploymentPortsDep) -> Response:
    """Newest first. 404 when there is no such service."""
    await ports.deployments.service(name)  # raises NotFound
    return json_answer(bans_of(await ports.deployments.bans(name)).model_dump_json().encode())


@router.post(
    "",
    status_code=201,
    response_model=BansChanged,
    responses=ACCEPTED,
    summary="Ban a version or a commit",
)
async def ban_version(
    name: KnownService,
    request: Annotated[BanRequest, Depends(json_body(BanRequest))],
    ports: DeploymentPortsDep,
    origin: OriginDep,
) -> Response:
    """No start brings it back, and no rollback by itself, until somebody lifts the ban. What waits for its turn ends;
    what is live or being rolled out stays as it is, which ``notes`` say.
    """
    await ports.deployments.service(name)
    result = await ports.deployment_client.ban(signed(BanCommand, request, origin, name=name))
    return json_answer(changed_bans(result).model_dump_json().encode(), 201)


@router.delete("", response_model=BansChanged, responses=ACCEPTED, summary="Lift bans")
async def lift_ban(
    name: KnownService,
    request: Annotated[UnbanRequest, Depends(json_body(UnbanRequest))],
    ports: DeploymentPortsDep,
    origin: OriginDep,
) -> Response:
    """Every one that names the version, or the commit. 409 when there is none."""
    await ports.deployments.service(name)
    result = await ports.deployment_client.lift_ban(signed(LiftBan, request, origin, name=name))
    return json_answer(changed_bans(result).model_dump_json().encode())
