"""Deployments: what is on its way, what it waits for, and what people do about it."""

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, chosen, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.http.problems import Problem
from api.services.schemas import EnvironmentStates
from workflows.contracts.audit.events import EventPage
from workflows.contracts.deployments.deployment import Deployment, DeploymentPage, DeploymentStatus

router = APIRouter(include_in_schema=False)
_DEPLOYMENTS: Final = "/api/dashboard/deployments"
_SERVICES: Final = "/api/dashboard/services"
_FILTERS: Final = ("service_name", "status", "branch", "commit", "author", "cursor", "limit")
_OF_PAGE: Final = frozenset({"csrf", "typed"})


@router.get("/deployments")
async def deployments(request: Request) -> Response:
    """Newest first; filters stand in the address."""
    query = chosen(request, *_FILTERS)
    found = await (api := Inside(request)).get(_DEPLOYMENTS, DeploymentPage, query)
    statuses = [each.value for each in DeploymentStatus]
    return page(request, "deployments/list.html", api=api, found=found, query=query, statuses=statuses)


@router.get("/deployments/{deployment_id}")
async def deployment(request: Request, deployment_id: str) -> Response:
    """One version on its way."""
    return await _deployment_page(request, deployment_id)


@router.post("/deployments/{deployment_id}/{command}")
async def command_deployment(request: Request, deployment_id: str, command: str) -> Response:
    """A form of the deployment's page. An approval names the version and commit that the page showed."""
    form = await form_of(request)
    body = {name: value for name, value in form.items() if value and name not in _OF_PAGE}
    try:
        await Inside(request).send("POST", f"{_DEPLOYMENTS}/{deployment_id}/{command}", body, csrf=form.get("csrf", ""))
    except RefusedByApi as refused:
        return await _deployment_page(request, deployment_id, problem=refused.problem, filled=form)
    return see(request, f"/deployments/{deployment_id}")


async def _deployment_page(
    request: Request,
    deployment_id: str,
    *,
    problem: Problem | None = None,
    filled: Fields | None = None,
) -> Response:
    api = Inside(request)
    found = await api.get(f"{_DEPLOYMENTS}/{deployment_id}", Deployment)
    events, states = await asyncio.gather(
        api.get(f"{_DEPLOYMENTS}/{deployment_id}/events", EventPage, {"limit": 100}),
        api.get(f"{_SERVICES}/{found.service_name}/environments", EnvironmentStates),
    )
    last = found.definition.environments[-1].name if found.definition.environments else None
    return page(
        request,
        "deployments/deployment.html",
        api=api,
        status=200 if problem is None else problem.status,
        deployment=found,
        events=events.items,
        states={each.environment: each for each in states.items},
        last=last,
        problem=problem,
        filled=filled or Fields(),
    )
