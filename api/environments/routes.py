"""Environments of a service: what is live, who waits; hold, release, freeze. Changes go to their workflow."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.responses import Response

from api.auth.idempotency import id_for
from api.auth.origin import CommandOriginDep, signed
from api.deployments.schemas import DeploymentOut, RollbackRequest, deployment_json
from api.deployments.service import command_environment, lift_ban_of_target, require_environment
from api.deployments.waiting import with_what_it_waits_for
from api.environments.ports import EnvironmentPorts, EnvironmentPortsDep
from api.environments.rollback import roll_back
from api.http.accepted import ACCEPTED
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.ids import KnownEnvironment, KnownService
from api.services.schemas import (
    EnvironmentList,
    EnvironmentOut,
    EnvironmentStates,
    FreezeRequest,
    HoldRequest,
    ReleaseRequest,
    UnfreezeRequest,
    environment_json,
)
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.commands import RollbackCommand
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    FreezeCommand,
    HoldCommand,
    ReleaseCommand,
    RetireCommand,
    UnfreezeCommand,
)
from workflows.contracts.deployments.line import shown
from workflows.contracts.errors import NotFound

router = APIRouter(prefix="/api/dashboard/services/{name}/environments", tags=["environments"])


class EnvironmentQuery(Frozen):
    """Which environments."""

    archived: bool = Field(default=False, description="Also those that are not in the definition any more.")


@router.get("", response_model=EnvironmentList, summary="List a service's environments")
async def list_environments(
    name: KnownService, listing: Annotated[EnvironmentQuery, Query()], ports: EnvironmentPortsDep
) -> Response:
    """In the order in which a version passes them; those that nothing has reached yet are empty. Those that are not in
    the definition any more are archived: they are left out, unless something is still there.
    """
    service = await ports.deployments.service(name)
    used = {state.environment: state for state in await ports.deployments.environments(name)}
    others = [each for each, state in used.items() if listing.archived or not _is_empty(state)]
    ordered = dict.fromkeys([*service.spec.environment_names, *(others if service.spec.environment_names else used)])
    states = [used.get(each) or EnvironmentState(service_name=name, environment=each) for each in ordered]
    line, now = await ports.deployments.line(), ports.clock()
    items = [shown(state, line, service.spec.labels, now) for state in states]
    return json_answer(EnvironmentStates(items=items).to_json())


@router.get("/{environment}", response_model=EnvironmentOut, summary="Show an environment")
async def get_environment(name: KnownService, environment: KnownEnvironment, ports: EnvironmentPortsDep) -> Response:
    """What is live there, who holds it, who waits, and what stops them."""
    await require_environment(ports, name, environment)
    return await _answer(ports, await _state(ports, name, environment))


@router.post(
    "/{environment}/rollback", response_model=DeploymentOut, responses=ACCEPTED, summary="Roll back what is live"
)
async def roll_back_environment(
    name: KnownService,
    environment: KnownEnvironment,
    request: Annotated[RollbackRequest, Depends(json_body(RollbackRequest))],
    ports: EnvironmentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """At once, whatever workflows there are, on hold and in a freeze: to what was live before, or to any version that
    was. What is being rolled out is stopped instead. Answers with the record of what is rolled back.
    """
    command = signed(RollbackCommand, request, origin, without=frozenset({"lift_ban"}))
    await lift_ban_of_target(ports, origin, name, request)
    record = await roll_back(ports, name, environment, command, origin.update_id(command))
    return json_answer(deployment_json(await with_what_it_waits_for(ports, record)))


@router.post(
    "/{environment}/hold", response_model=EnvironmentOut, responses=ACCEPTED, summary="Let nothing be rolled out"
)
async def hold_environment(
    name: KnownService,
    environment: KnownEnvironment,
    request: Annotated[HoldRequest, Depends(json_body(HoldRequest))],
    ports: EnvironmentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Until somebody releases it. A rollback still goes through; what is being rolled out stops at its next step."""
    command = signed(HoldCommand, request, origin)
    return await _answer(ports, await command_environment(ports, name, environment, command, origin.update_id(command)))


@router.post("/{environment}/release", response_model=EnvironmentOut, responses=ACCEPTED, summary="Lift the hold")
async def release_environment(
    name: KnownService,
    environment: KnownEnvironment,
    request: Annotated[ReleaseRequest, Depends(json_body(ReleaseRequest, optional=True))],
    ports: EnvironmentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Who waits first goes on at once."""
    command = signed(ReleaseCommand, request, origin)
    return await _answer(ports, await command_environment(ports, name, environment, command, origin.update_id(command)))


@router.post(
    "/{environment}/retire", response_model=EnvironmentOut, responses=ACCEPTED, summary="Say that what is live is gone"
)
async def retire_environment(
    name: KnownService,
    environment: KnownEnvironment,
    request: Annotated[HoldRequest, Depends(json_body(HoldRequest))],
    ports: EnvironmentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Its deployment ends, and nothing is live here any more. Nothing is stopped by it. 409 while something waits or is
    rolled out.
    """
    command = signed(RetireCommand, request, origin)
    return await _answer(ports, await command_environment(ports, name, environment, command, origin.update_id(command)))


@router.post(
    "/{environment}/freezes", status_code=201, response_model=EnvironmentOut, responses=ACCEPTED, summary="Add a freeze"
)
async def add_freeze(
    name: KnownService,
    environment: KnownEnvironment,
    request: Annotated[FreezeRequest, Depends(json_body(FreezeRequest))],
    ports: EnvironmentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """The last part of ``Location`` is the freeze's id. The same id (or Idempotency-Key) again replaces it."""
    freeze_id = request.freeze_id or id_for(origin.caller, origin.key)
    ends_at = request.ends_at
    if request.duration_seconds is not None:
        begins = ports.clock() if request.starts_at is None else request.starts_at
        ends_at = begins + request.duration_seconds * 1000
    command = signed(
        FreezeCommand, request, origin, without=frozenset({"duration_seconds"}), freeze_id=freeze_id, ends_at=ends_at
    )
    state = await command_environment(ports, name, environment, command, origin.update_id(command))
    url = f"/api/dashboard/services/{name}/environments/{environment}/freezes/{freeze_id}"
    return await _answer(ports, state, 201, {"Location": url})


@router.delete(
    "/{environment}/freezes/{freeze_id}", response_model=EnvironmentOut, responses=ACCEPTED, summary="End a freeze"
)
async def remove_freeze(
    name: KnownService,
    environment: KnownEnvironment,
    freeze_id: str,
    request: Annotated[UnfreezeRequest, Depends(json_body(UnfreezeRequest, optional=True))],
    ports: EnvironmentPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """An ad hoc one; recurring windows belong to the service's definition. 404 when there is none of this id."""
    await require_environment(ports, name, environment)
    state = await _state(ports, name, environment)
    if all(freeze.freeze_id != freeze_id for freeze in state.freezes):
        present = ", ".join(freeze.freeze_id for freeze in state.freezes) or "none"
        raise NotFound(f"{environment} of {name} has no freeze {freeze_id[:64]!r}; it has: {present}.")
    command = signed(UnfreezeCommand, request, origin, freeze_id=freeze_id)
    return await _answer(
        ports, await ports.deployment_client.command_environment(name, environment, command, origin.update_id(command))
    )


def _is_empty(state: EnvironmentState) -> bool:
    return state.live is None and state.holder is None and not state.queue and state.hold is None


async def _state(ports: EnvironmentPorts, name: str, environment: str) -> EnvironmentState:
    """Empty as long as nothing has reached it."""
    try:
        return await ports.deployments.environment(name, environment)
    except NotFound:
        return EnvironmentState(service_name=name, environment=environment)


async def _answer(
    ports: EnvironmentPorts, state: EnvironmentState, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """With what of the line concerns it."""
    line = await ports.deployments.line()
    by_label = any(stop.scope.labels for stop in line.stops)
    labels = (await ports.deployments.service(state.service_name)).spec.labels if by_label else {}
    document = environment_json(shown(state, line, labels, ports.clock()))
    return json_answer(document, status, dict(headers or {}))
