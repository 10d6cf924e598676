"""Archiving services, taking them into use again, deleting them. Changes go through their workflow.

Deliberately not here: what stands in the way (``contracts.deployments.standing``), an environment whose version is gone
(``api.environments``).
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field, StrictBool
from starlette.responses import Response

from api.auth.guard import require
from api.auth.origin import CommandOriginDep, Origin, signed
from api.deployments.schemas import SignedBody
from api.environments.ports import EnvironmentPorts, EnvironmentPortsDep
from api.http.accepted import ACCEPTED
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.ids import KnownService
from api.services.stopped import require_still_stopped
from workflows.contracts.access import Operation
from workflows.contracts.deployments.environments import PerhapsWhy, RetireCommand, Why
from workflows.contracts.deployments.services import Service
from workflows.contracts.deployments.standing import ChangeStanding, ServiceStanding

router = APIRouter(prefix="/api/dashboard/services/{name}", tags=["services"])


class ArchiveRequest(SignedBody):
    """Why. ``live_is_gone``: what is live in its environments does not run any more; each is told so first."""

    reason: Why
    live_is_gone: StrictBool = Field(default=False)


class StandingRequest(SignedBody):
    """Why."""

    reason: PerhapsWhy = ""


StandingBody = Annotated[StandingRequest, Depends(json_body(StandingRequest, optional=True))]


@router.post("/archive", response_model=Service, responses=ACCEPTED, summary="Archive a service")
async def archive_service(
    name: KnownService,
    request: Annotated[ArchiveRequest, Depends(json_body(ArchiveRequest))],
    ports: EnvironmentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Nothing of it is started any more, and lists leave it out. What is live stays, and can be rolled back. 409 while
    something waits or is rolled out. ``live_is_gone`` asks for `deployments:operate` as well.
    """
    await ports.deployments.service(name)  # raises NotFound
    if request.live_is_gone:
        require(origin.caller, Operation.DEPLOYMENTS_OPERATE, service=name)
        retire = signed(RetireCommand, request, origin, without=frozenset({"live_is_gone"}))
        for state in await ports.deployments.environments(name):
            if state.live is not None:
                key = origin.update_id(retire)
                await ports.deployment_client.command_environment(name, state.environment, retire, key)
    return await _changed(ports, origin, name, ServiceStanding.ARCHIVED, request)


@router.post("/unarchive", response_model=Service, responses=ACCEPTED, summary="Take a service into use again")
async def unarchive_service(
    name: KnownService, request: StandingBody, ports: EnvironmentPortsDep, origin: CommandOriginDep
) -> Response:
    """It can be deployed again."""
    return await _changed(ports, origin, name, ServiceStanding.IN_USE, request)


@router.delete("", response_model=Service, responses=ACCEPTED, summary="Delete a service")
async def delete_service(
    name: KnownService, request: StandingBody, ports: EnvironmentPortsDep, origin: CommandOriginDep
) -> Response:
    """One that is archived. 409 while something of it is live, waits or runs. Its deployments and its trail stay; a new
    one of this name goes on with the next version and the next turns.
    """
    service = await ports.deployments.service(name)
    await require_still_stopped(ports, origin.caller, name, service.spec, None)
    return await _changed(ports, origin, name, ServiceStanding.DELETED, request)


async def _changed(
    ports: EnvironmentPorts, origin: Origin, name: str, to: ServiceStanding, request: ArchiveRequest | StandingRequest
) -> Response:
    asked = signed(ChangeStanding, request, origin, without=frozenset({"live_is_gone"}), name=name, to=to)
    service = await ports.deployment_client.change_standing(asked)
    return json_answer(service.model_dump_json().encode())
