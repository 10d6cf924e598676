"""Services and their environments: what is live where, and what is held."""

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.http.problems import Problem
from api.services.schemas import EnvironmentStates
from workflows.contracts.deployments.deployment import DeploymentPage
from workflows.contracts.deployments.services import Service, ServicePage

router = APIRouter(include_in_schema=False)
_SERVICES: Final = "/api/dashboard/services"
_OF_PAGE: Final = frozenset({"csrf", "typed"})


@router.get("/services")
async def services(request: Request) -> Response:
    """Every service with what is live in each environment."""
    api = Inside(request)
    found = await api.get(_SERVICES, ServicePage, {"limit": 50, "cursor": request.query_params.get("cursor")})
    states = await asyncio.gather(
        *(api.get(f"{_SERVICES}/{each.name}/environments", EnvironmentStates) for each in found.items)
    )
    return page(request, "services/list.html", api=api, found=found, lanes=list(zip(found.items, states, strict=True)))


@router.get("/services/{name}")
async def service(request: Request, name: str) -> Response:
    """One service."""
    return await _service_page(request, name)


@router.post("/services/{name}/environments/{environment}/{command}")
async def command_environment(request: Request, name: str, environment: str, command: str) -> Response:
    """Hold or release."""
    form = await form_of(request)
    body = {key: value for key, value in form.items() if value and key not in _OF_PAGE}
    try:
        await Inside(request).send(
            "POST", f"{_SERVICES}/{name}/environments/{environment}/{command}", body, csrf=form.get("csrf", "")
        )
    except RefusedByApi as refused:
        return await _service_page(request, name, problem=refused.problem)
    return see(request, f"/services/{name}")


async def _service_page(request: Request, name: str, *, problem: Problem | None = None) -> Response:
    api = Inside(request)
    found, states, recent = await asyncio.gather(
        api.get(f"{_SERVICES}/{name}", Service),
        api.get(f"{_SERVICES}/{name}/environments", EnvironmentStates),
        api.get(f"{_SERVICES}/{name}/deployments", DeploymentPage, {"limit": 20}),
    )
    status = 200 if problem is None else problem.status
    return page(
        request,
        "services/service.html",
        api=api,
        status=status,
        service=found,
        states=states.items,
        recent=recent.items,
        problem=problem,
    )
