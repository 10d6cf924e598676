"""Services and their environments: what is live where, what is held or frozen, what waits for a second person."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, form_of, page, see
from api.dashboard.deployments.commands import FilledIn
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.routes.freezes import drawn, freeze_body
from api.http.problems import Problem
from api.line.calendar import Calendar
from api.services.schemas import EnvironmentStates
from workflows.contracts.audit.events import EventPage
from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.deployment import DeploymentPage
from workflows.contracts.deployments.lanes import LanePage
from workflows.contracts.deployments.services import Archived, Service

router = APIRouter(include_in_schema=False)
_SERVICES: Final = "/api/dashboard/services"
_OF_PAGE: Final = frozenset({"csrf", "typed"})
_DAYS: Final = 30
_PAGE: Final = 30
"""Services of one page, of which their lanes have as many."""


class ListedService(Tolerant):
    """What the list says of a service: its definition, which is most of it, is neither read nor checked again."""

    name: str
    archived: Archived | None = None
    policy_change: dict[str, Any] | None = None


class ListedServices(Tolerant):
    """One page of them."""

    items: list[ListedService]
    next_cursor: str | None = None


@router.get("/services")
async def services(request: Request) -> Response:
    """Every service with what is live in each environment."""
    api = Inside(request)
    archived = request.query_params.get("archived")
    paging = {"limit": _PAGE, "cursor": request.query_params.get("cursor")}
    found, lanes = await asyncio.gather(
        api.get(_SERVICES, ListedServices, {**paging, "archived": "true" if archived else None}),
        api.get("/api/dashboard/lanes", LanePage, paging),
    )
    places = {lane.service_name: lane.places for lane in lanes.items}
    return page(request, "services/list.html", api=api, found=found, places=places, archived=archived)


@router.get("/services/{name}")
async def service(request: Request, name: str) -> Response:
    """One service."""
    return await service_page(request, name)


@router.post("/services/{name}/environments/{environment}/{command}")
async def command_environment(request: Request, name: str, environment: str, command: str) -> Response:
    """Hold, release, add a freeze."""
    form = await form_of(request)
    body = freeze_body(form) if command == "freezes" else _said(form)
    return await _sent(request, name, "POST", f"environments/{environment}/{command}", body, form)


@router.post("/services/{name}/environments/{environment}/freezes/{freeze_id}/remove")
async def remove_freeze(request: Request, name: str, environment: str, freeze_id: str) -> Response:
    """End one before its time."""
    form = await form_of(request)
    return await _sent(request, name, "DELETE", f"environments/{environment}/freezes/{freeze_id}", _said(form), form)


@router.post("/services/{name}/policy-change/{decision}")
async def decide_policy(request: Request, name: str, decision: str) -> Response:
    """Yes or no to what waits in the version that the page showed."""
    form = await form_of(request)
    version = form["version"]
    body = _said(form) | {"version": int(version) if version.isdecimal() and len(version) < 10 else version}
    return await _sent(request, name, "POST", f"policy-change/{decision}", body, form)


@router.post("/services/{name}/{command}")
async def command_service(request: Request, name: str, command: str) -> Response:
    """Archive, or take into use again."""
    form = await form_of(request)
    body = _said(form) | ({"live_is_gone": True} if form["live_is_gone"] else {})
    return await _sent(request, name, "POST", command, body, form)


def _said(form: Fields) -> dict[str, object]:
    return {key: value for key, value in form.items() if value and key not in _OF_PAGE}


async def _sent(request: Request, name: str, method: str, path: str, body: dict[str, object], form: Fields) -> Response:
    try:
        await Inside(request).send(method, f"{_SERVICES}/{name}/{path}", body, csrf=form["csrf"])
    except RefusedByApi as refused:
        return await service_page(request, name, problem=refused.problem, sent=path, filled=form)
    return see(request, f"/services/{name}")


async def service_page(
    request: Request, name: str, *, problem: Problem | None = None, sent: str = "", filled: Fields | None = None
) -> Response:
    """``sent``: which form was refused, by its address below the service's. Raises RefusedByApi."""
    api = Inside(request)
    found, states, recent, calendar = await asyncio.gather(
        api.get(f"{_SERVICES}/{name}", Service),
        api.get(f"{_SERVICES}/{name}/environments", EnvironmentStates),
        api.get(f"{_SERVICES}/{name}/deployments", DeploymentPage, {"limit": 10}),
        api.get("/api/dashboard/freezes/calendar", Calendar, {"service_name": name, "days": _DAYS}),
    )
    trail = await _trail(api, name)
    return page(
        request,
        "services/service.html",
        api=api,
        status=200 if problem is None else problem.status,
        service=found,
        states=states.items,
        recent=recent.items,
        calendar=calendar,
        drawing=drawn(calendar, _DAYS),
        trail=trail,
        problem=problem,
        was=FilledIn(sent, filled or Fields()),
    )


async def _trail(api: Inside, name: str) -> EventPage | None:
    """What was done to it, for who may read that."""
    try:
        return await api.get("/api/events", EventPage, {"service_name": name, "action": "service.", "limit": 10})
    except RefusedByApi as refused:
        if refused.problem.status == 403:
            return None
        raise
