"""Deployments: lanes, the matrix, the list; one deployment, and what people do about it."""

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, chosen, form_of, page, see
from api.dashboard.deployments.columns import environments_in_order
from api.dashboard.deployments.commands import FilledIn, asked, refused_here, unreadable_signature
from api.dashboard.deployments.shown import shown_deployment
from api.dashboard.deployments.times import Clock
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.may import May
from api.http.problems import Problem
from api.ports import services_of
from workflows.contracts.deployments.deployment import Deployment, DeploymentPage, DeploymentStatus
from workflows.contracts.deployments.lanes import LanePage

router = APIRouter(include_in_schema=False)
_DEPLOYMENTS: Final = "/api/dashboard/deployments"
_FILTERS: Final = ("service_name", "status", "branch", "commit", "author")
_FIRST_LANES: Final = 6
_LANES: Final = 12
_ROWS: Final = 30


@router.get("/deployments")
async def deployments(request: Request) -> Response:
    """Newest first; filters stand in the address. Without any, the first lanes stand above."""
    query = chosen(request, *_FILTERS, "cursor", "limit")
    api = Inside(request)
    found = await api.get(_DEPLOYMENTS, DeploymentPage, {"limit": 20, **query})
    lanes = None if query else await _lanes(api, _FIRST_LANES)
    fields: dict[str, Any] = {"found": found, "query": query, "statuses": [each.value for each in DeploymentStatus]}
    return page(request, "deployments/list.html", api=api, lanes=lanes, clock=_clock(request), **fields)


@router.get("/deployments/lanes")
async def lanes(request: Request) -> Response:
    """Of each service what is live, on its way and in line."""
    return await _lanes_page(request, "deployments/lanes.html", _LANES)


@router.get("/deployments/matrix")
async def matrix(request: Request) -> Response:
    """All services by their environments."""
    return await _lanes_page(request, "deployments/matrix.html", _ROWS)


@router.get("/deployments/{deployment_id}")
async def deployment(request: Request, deployment_id: str) -> Response:
    """One version on its way."""
    return await _deployment_page(request, Inside(request), deployment_id)


@router.post("/deployments/{deployment_id}/{command}")
async def command_deployment(request: Request, deployment_id: str, command: str) -> Response:
    """A form of the deployment's page. An approval names the version and commit that the page showed; a rollback has
    the service's name typed; whoever may not is told so first.
    """
    api, form = Inside(request), await form_of(request)
    found = await api.get(f"{_DEPLOYMENTS}/{deployment_id}", Deployment)
    try:
        problem = None
        if May(api.caller)("deployments:operate", found.service_name):
            problem = refused_here(command, form, found)
        if problem is None:
            wanted = asked(command, form, found)
            await api.send(wanted.method, wanted.path, wanted.body, csrf=form["csrf"])
    except RefusedByApi as refused:
        problem = refused.problem
    except (ValueError, RecursionError):
        problem = unreadable_signature()
    if problem is not None:
        return await _deployment_page(request, api, deployment_id, command=command, problem=problem, filled=form)
    return see(request, f"/deployments/{deployment_id}")


async def _deployment_page(
    request: Request,
    api: Inside,
    deployment_id: str,
    *,
    command: str = "",
    problem: Problem | None = None,
    filled: Fields | None = None,
) -> Response:
    seen = (filled or Fields())["seen"]
    since = int(seen) if seen.isdecimal() and len(seen) < 16 else None
    shown = await shown_deployment(api, deployment_id, since=since)
    return page(
        request,
        "deployments/deployment.html",
        api=api,
        status=200 if problem is None else problem.status,
        deployment=shown.deployment,
        shown=shown,
        clock=_clock(request),
        command=command,
        problem=problem,
        was=FilledIn(command, filled or Fields()),
    )


async def _lanes_page(request: Request, template: str, limit: int) -> Response:
    query = chosen(request, "cursor")
    found = await _lanes(api := Inside(request), limit, query["cursor"])
    names = environments_in_order(found.items)
    return page(request, template, api=api, lanes=found, names=names, query=query, clock=_clock(request))


async def _lanes(api: Inside, limit: int, cursor: str = "") -> LanePage:
    return await api.get("/api/dashboard/lanes", LanePage, {"limit": limit, "cursor": cursor})


def _clock(request: Request) -> Clock:
    return Clock(services_of(request).clock())
