"""Agents and pools: who works and how well, who needs a look, what waits for whom; drain, pause, resume, bounds."""

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.agents.schemas import AgentView, AgentViews, PoolViews
from api.dashboard.answers import Fields, chosen, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.words import number, times
from api.http.problems import Problem
from workflows.contracts.records import JobPage

router = APIRouter(include_in_schema=False)
_AGENTS: Final = "/api/agents"
_FILTERS: Final = ("pool", "status", "cursor")
_MINUTE: Final = 60


@router.get("/agents")
async def agents(request: Request) -> Response:
    """All agents and pools."""
    return await _agents_page(request)


@router.get("/agents/{agent_id}")
async def agent(request: Request, agent_id: str) -> Response:
    """One agent."""
    return await _agent_page(request, agent_id)


@router.post("/agents/{agent_id}/{command}")
async def command_agent(request: Request, agent_id: str, command: str) -> Response:
    """Drain, pause, resume; the form of the list leads back there."""
    form = await form_of(request)
    try:
        await Inside(request).send("POST", f"{_AGENTS}/{agent_id}/{command}", _body(command, form), csrf=form["csrf"])
    except RefusedByApi as refused:
        if form["from"] == "list":
            return await _agents_page(request, problem=refused.problem)
        return await _agent_page(request, agent_id, problem=refused.problem, filled=form)
    return see(request, "/agents" if form["from"] == "list" else f"/agents/{agent_id}")


@router.post("/pools/{name}/scale")
async def scale_pool(request: Request, name: str) -> Response:
    """The bounds within which a scaler runs agents."""
    form = await form_of(request)
    fields = ("min_agents", "max_agents", "target_wait_seconds", "slots_per_agent")
    body: dict[str, object] = {each: value for each in fields if (value := number(form[each])) is not None}
    if form["reason"]:
        body["reason"] = form["reason"]
    try:
        await Inside(request).send("POST", f"{_AGENTS}/pools/{name}/scale", body, csrf=form["csrf"])
    except RefusedByApi as refused:
        return await _agents_page(request, problem=refused.problem, of_pool=name, filled=form)
    return see(request, f"/agents#pool-{name}")


def _body(command: str, form: Fields) -> dict[str, object] | None:
    reason, minutes = form["reason"], number(form["minutes"])
    if command != "pause":
        return {"reason": reason} if reason else None
    body: dict[str, object] = {"note": reason} if reason else {}
    seconds = times(minutes, _MINUTE)
    return body if seconds is None else {**body, "seconds": seconds}


async def _agents_page(
    request: Request, *, problem: Problem | None = None, of_pool: str = "", filled: Fields | None = None
) -> Response:
    api, query = Inside(request), chosen(request, *_FILTERS)
    found, pools = await asyncio.gather(
        api.get(_AGENTS, AgentViews, {"limit": 100, **query}),
        api.get(f"{_AGENTS}/pools", PoolViews),
    )
    status = 200 if problem is None else problem.status
    return page(
        request, "agents/list.html", api=api, status=status, found=found, pools=pools.items, problem=problem,
        query=query, statuses=("HEALTHY", "DEGRADED", "DRAINING", "OFFLINE"), of_pool=of_pool,
        filled=filled or Fields(),
    )  # fmt: skip


async def _agent_page(
    request: Request, agent_id: str, *, problem: Problem | None = None, filled: Fields | None = None
) -> Response:
    api = Inside(request)
    found, jobs = await asyncio.gather(
        api.get(f"{_AGENTS}/{agent_id}", AgentView),
        api.get(f"/api/dashboard/jobs/agent/{agent_id}", JobPage, {"limit": 15}),
    )
    status = 200 if problem is None else problem.status
    return page(
        request, "agents/agent.html", api=api, status=status, agent=found, jobs=jobs.items, problem=problem,
        filled=filled or Fields(),
    )  # fmt: skip
