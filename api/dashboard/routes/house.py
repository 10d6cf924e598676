"""Agents, what webhooks brought, and the audit trail."""

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.agents.schemas import AgentViews, PoolViews
from api.dashboard.answers import chosen, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.http.problems import Problem
from workflows.contracts.audit.events import EventPage
from workflows.contracts.deployments.deliveries import DeliveryPage

router = APIRouter(include_in_schema=False)
_OF_DELIVERIES: Final = ("provider", "service_name", "outcome", "cursor")
_FILTERS: Final = (
    "service_name",
    "environment",
    "pool",
    "deployment_id",
    "job_id",
    "agent_id",
    "by",
    "action",
    "cursor",
)


@router.get("/agents")
async def agents(request: Request) -> Response:
    """All agents and pools."""
    return await _agents_page(request)


@router.post("/agents/{agent_id}/{command}")
async def command_agent(request: Request, agent_id: str, command: str) -> Response:
    """Drain, pause, resume."""
    form = await form_of(request)
    csrf = form.pop("csrf", "")
    body = {name: value for name, value in form.items() if value}
    try:
        await Inside(request).send("POST", f"/api/agents/{agent_id}/{command}", body or None, csrf=csrf)
    except RefusedByApi as refused:
        return await _agents_page(request, problem=refused.problem)
    return see(request, "/agents")


@router.get("/webhooks")
async def webhooks(request: Request) -> Response:
    """What came, and what it did or why nothing; filters stand in the address."""
    return await _webhooks_page(request)


@router.post("/webhooks/{delivery_id}/replay")
async def replay(request: Request, delivery_id: str) -> Response:
    """Once more, by the rules of now and with the rights of the tool that sent it."""
    form = await form_of(request)
    try:
        await Inside(request).send("POST", f"/api/webhooks/deliveries/{delivery_id}/replay", {}, csrf=form["csrf"])
    except RefusedByApi as refused:
        return await _webhooks_page(request, problem=refused.problem)
    return see(request, "/webhooks")


@router.get("/audit")
async def audit(request: Request) -> Response:
    """Who did what, newest first; filters stand in the address."""
    query = chosen(request, *_FILTERS)
    found = await (api := Inside(request)).get("/api/events", EventPage, query)
    return page(request, "audit.html", api=api, found=found, query=query, filters=_FILTERS[:-1])


async def _webhooks_page(request: Request, *, problem: Problem | None = None) -> Response:
    query = chosen(request, *_OF_DELIVERIES)
    found = await (api := Inside(request)).get("/api/webhooks/deliveries", DeliveryPage, query)
    status = 200 if problem is None else problem.status
    filters = _OF_DELIVERIES[:-1]
    return page(
        request, "webhooks.html", api=api, status=status, found=found, query=query, filters=filters, problem=problem
    )


async def _agents_page(request: Request, *, problem: Problem | None = None) -> Response:
    api = Inside(request)
    found, pools = await asyncio.gather(
        api.get("/api/agents", AgentViews, {"limit": 100, "cursor": request.query_params.get("cursor")}),
        api.get("/api/agents/pools", PoolViews),
    )
    status = 200 if problem is None else problem.status
    return page(request, "agents.html", api=api, status=status, found=found, pools=pools.items, problem=problem)
