"""Agents and pools: who works, who needs a look, and drain, pause, resume."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.agents.schemas import AgentViews, PoolViews
from api.dashboard.answers import form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.http.problems import Problem

router = APIRouter(include_in_schema=False)


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


async def _agents_page(request: Request, *, problem: Problem | None = None) -> Response:
    api = Inside(request)
    found, pools = await asyncio.gather(
        api.get("/api/agents", AgentViews, {"limit": 100, "cursor": request.query_params.get("cursor")}),
        api.get("/api/agents/pools", PoolViews),
    )
    status = 200 if problem is None else problem.status
    return page(request, "agents/list.html", api=api, status=status, found=found, pools=pools.items, problem=problem)
