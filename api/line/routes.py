"""Freezes and holds of many services at once: list, add, end. Changes go to their workflow.

Whoever changes one must reach all that it concerns: each of the services that it names, and for all services or those
with a label, everything. Deliberately not here: those of one environment (``api.environments``).
"""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth.guard import Caller, require, require_everywhere
from api.auth.idempotency import id_for
from api.auth.origin import CommandOriginDep, Origin, signed
from api.auth.principal import Principal
from api.http.accepted import ACCEPTED
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.errors import ApiError
from api.http.ids import known_service
from api.line.calendar import Calendar, calendar
from api.line.ports import LinePorts, LinePortsDep
from api.line.schemas import CalendarQuery, LetGoRequest, LineFreezeRequest, LineHoldRequest, LineStops
from workflows.contracts.access import Operation
from workflows.contracts.deployments.line import LetTheLineGo, LineStop, NewStop, StopKind, StopScope, StopTheLine
from workflows.contracts.deployments.services import PRODUCTION, Service
from workflows.contracts.errors import InvalidState, NotFound

router = APIRouter(prefix="/api/dashboard", tags=["line"])
_DAY_MS: Final = 24 * 3600 * 1000
LetGoBody = Annotated[LetGoRequest, Depends(json_body(LetGoRequest, optional=True))]


@router.get("/freezes", response_model=LineStops, summary="List freezes of many services")
async def list_line_freezes(ports: LinePortsDep, caller: Caller) -> Response:
    """Those in force and to come, as far as they concern what the caller reaches."""
    return await _listed(ports, caller, StopKind.FREEZE)


@router.get("/freezes/calendar", response_model=Calendar, summary="Show what stops rollouts in the days to come")
async def show_calendar(which: Annotated[CalendarQuery, Query()], ports: LinePortsDep, caller: Caller) -> Response:
    """Freezes and holds of many services, as far as they concern what the caller reaches. With `service_name` those
    that concern it, with its environments' own and the times of its recurring windows.
    """
    line, now = await ports.deployments.line(), ports.clock()
    until = now + which.days * _DAY_MS
    stops = [stop for stop in line.stops if _concerns(caller, stop.scope)]
    if which.service_name is None:
        found = await asyncio.to_thread(calendar, stops, None, [], now, until)
        return json_answer(found.model_dump_json().encode())
    name = await known_service(which.service_name)
    require(caller, Operation.READ, service=name)
    service = await ports.deployments.service(name)
    states = await ports.deployments.environments(name)
    known = {*service.spec.environment_names, *(state.environment for state in states)}
    stops = [stop for stop in stops if _may_concern(stop.scope, service, known)]
    found = await asyncio.to_thread(calendar, stops, service, states, now, until)
    return json_answer(found.model_dump_json().encode())


@router.get("/holds", response_model=LineStops, summary="List holds of many services")
async def list_line_holds(ports: LinePortsDep, caller: Caller) -> Response:
    """As far as they concern what the caller reaches."""
    return await _listed(ports, caller, StopKind.HOLD)


@router.post(
    "/freezes", status_code=201, response_model=LineStop, responses=ACCEPTED, summary="Freeze many services at once"
)
async def add_line_freeze(
    request: Annotated[LineFreezeRequest, Depends(json_body(LineFreezeRequest))],
    ports: LinePortsDep,
    origin: CommandOriginDep,
) -> Response:
    """No turn is given from now on, and what is being rolled out stops at its next step. Rollbacks go on."""
    ends_at = request.ends_at
    if request.duration_seconds is not None:
        begins = ports.clock() if request.starts_at is None else request.starts_at
        ends_at = begins + request.duration_seconds * 1000
    stop = NewStop(
        stop_id=request.freeze_id or id_for(origin.caller, origin.key),
        kind=StopKind.FREEZE,
        name=request.name,
        scope=request.scope,
        starts_at=request.starts_at,
        ends_at=ends_at,
        allow_override=request.allow_override,
    )
    return await _stopped(ports, origin, request, stop)


@router.post(
    "/holds", status_code=201, response_model=LineStop, responses=ACCEPTED, summary="Hold many services at once"
)
async def add_line_hold(
    request: Annotated[LineHoldRequest, Depends(json_body(LineHoldRequest))],
    ports: LinePortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Until somebody releases it. What is being rolled out stops at its next step. Rollbacks go on."""
    stop = NewStop(
        stop_id=request.hold_id or id_for(origin.caller, origin.key),
        kind=StopKind.HOLD,
        name=request.name,
        scope=request.scope,
    )
    return await _stopped(ports, origin, request, stop)


@router.delete("/freezes/{stop_id}", response_model=LineStops, responses=ACCEPTED, summary="End a freeze of many")
async def remove_line_freeze(
    stop_id: str, request: LetGoBody, ports: LinePortsDep, origin: CommandOriginDep
) -> Response:
    """What waits is rolled out. Answers with those that remain. 404 when there is none of this id."""
    return await _let_go(ports, origin, request, stop_id, StopKind.FREEZE)


@router.delete("/holds/{stop_id}", response_model=LineStops, responses=ACCEPTED, summary="Release a hold of many")
async def release_line_hold(
    stop_id: str, request: LetGoBody, ports: LinePortsDep, origin: CommandOriginDep
) -> Response:
    """What waits is rolled out. Answers with those that remain. 404 when there is none of this id."""
    return await _let_go(ports, origin, request, stop_id, StopKind.HOLD)


async def _listed(ports: LinePorts, caller: Principal, kind: StopKind) -> Response:
    line = await ports.deployments.line()
    found = [stop for stop in line.stops if stop.kind is kind and _concerns(caller, stop.scope)]
    return json_answer(LineStops(items=found).model_dump_json().encode())


async def _stopped(
    ports: LinePorts, origin: Origin, request: LineFreezeRequest | LineHoldRequest, stop: NewStop
) -> Response:
    _require_reach(origin.caller, stop.scope)
    before = (await ports.deployments.line()).stop(stop.stop_id)
    if before is not None and (before.kind is not stop.kind or not _reaches(origin.caller, before.scope)):
        # Whether it is of another kind or of others' services is nobody's business who does not reach it.
        raise InvalidState(
            f"The id {stop.stop_id} cannot be used for this {stop.kind}: choose another, or leave it out."
        )
    given = frozenset(type(request).model_fields) - {"reason", "by"}
    replaces = None if before is None else before.scope
    command = signed(StopTheLine, request, origin, without=given, stop=stop, replaces=replaces)
    line = await ports.deployment_client.change_line(command)
    made = line.stop(stop.stop_id)
    if made is None:  # somebody has ended it in this moment
        raise NotFound(f"There is no {stop.kind} of many services of the id {stop.stop_id} any more.")
    where = f"{router.prefix}/{stop.kind}s/{stop.stop_id}"
    return json_answer(made.model_dump_json().encode(), 201, {"Location": where})


async def _let_go(ports: LinePorts, origin: Origin, request: LetGoRequest, stop_id: str, kind: StopKind) -> Response:
    line = await ports.deployments.line()
    stop = line.stop(stop_id)
    if stop is None or stop.kind is not kind or not _concerns(origin.caller, stop.scope):
        present = [s.stop_id for s in line.stops if s.kind is kind and _concerns(origin.caller, s.scope)]
        raise NotFound(
            f"There is no {kind} of many services of the id {stop_id[:64]!r}; known: {', '.join(present) or 'none'}."
        )
    _require_reach(origin.caller, stop.scope)
    command = signed(LetTheLineGo, request, origin, stop_id=stop_id, scope=stop.scope)
    line = await ports.deployment_client.change_line(command)
    left = LineStops(items=[s for s in line.stops if s.kind is kind and _concerns(origin.caller, s.scope)])
    return json_answer(left.model_dump_json().encode())


def _require_reach(caller: Principal, scope: StopScope) -> None:
    """Labels can be given to any service tomorrow. Raises ApiError forbidden."""
    if not scope.services:
        require_everywhere(caller, Operation.DEPLOYMENTS_OPERATE)
    for name in scope.services:
        require(caller, Operation.DEPLOYMENTS_OPERATE, service=name)


def _reaches(caller: Principal, scope: StopScope) -> bool:
    """Whether the caller may change what has this scope."""
    try:
        _require_reach(caller, scope)
    except ApiError:
        return False
    return True


def _may_concern(scope: StopScope, service: Service, known: set[str]) -> bool:
    """Whether it is about one of these environments; of a service that was stored before its policy had to name them,
    about any.
    """
    names = known if service.spec.environment_names else known | {*scope.environments, PRODUCTION}
    return any(scope.concerns(service.name, each, service.spec.labels) for each in names)


def _concerns(caller: Principal, scope: StopScope) -> bool:
    """Whether the caller may know of it: whoever is stopped must see by what."""
    if not scope.services or caller.unlimited(Operation.READ):
        return True
    return any(caller.may(Operation.READ, service=name) for name in scope.services)
