"""The first page: what waits for a person, what broke and why, what runs, how the queue goes, who works."""

import asyncio
import time
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.agents.schemas import AgentViews, PoolViews
from api.dashboard.answers import page
from api.dashboard.asks import asks_of_dead_letters, asks_of_deployments, asks_of_stops, broken
from api.dashboard.hours import ended_chart, open_chart, wait_chart
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.pool_bars import PoolBar, pool_bars
from api.http.problems import Problem
from api.line.schemas import LineStops
from api.system.schemas.repairs import SystemHealth
from api.system.schemas.summary import Summary
from workflows.contracts.deployments.deployment import DeploymentPage, DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.line import LineStop
from workflows.contracts.records import JobPage, QueueHistory, QueueStats

router = APIRouter(include_in_schema=False)
_HOURS: Final = 24
_MOST_BROKEN: Final = 8
_MOST_JOBS: Final = 10
_MOST_PARKED: Final = 50
_ON_THEIR_WAY: Final = (
    DeploymentStatus.PENDING,
    DeploymentStatus.STAGING,
    DeploymentStatus.STAGED,
    DeploymentStatus.PRODUCTION,
)
_DASHBOARD: Final = "/api/dashboard"


@router.get("/")
async def overview(request: Request) -> Response:
    """Everything links to the thing. Who is no browser wants to know what the API has."""
    if "text/html" not in request.headers.get("accept", ""):
        return RedirectResponse("/api/docs", 307)
    api = Inside(request)
    summary = await api.get(f"{_DASHBOARD}/summary", Summary)  # whoever is not known signs in: nothing more is asked
    jobs, people, deployments, stops = await asyncio.gather(
        asyncio.gather(
            api.get("/api/queue/stats", QueueStats),
            api.get("/api/queue/history", QueueHistory, {"hours": _HOURS}),
            api.get("/api/queue/dead-letters", JobPage, {"limit": _MOST_PARKED}),
            api.get(f"{_DASHBOARD}/jobs/running", JobPage, {"limit": _MOST_JOBS}),
            api.get(f"{_DASHBOARD}/jobs", JobPage, {"status": "failed", "limit": _MOST_JOBS}),
        ),
        asyncio.gather(api.get("/api/agents", AgentViews, {"limit": 100}), _pools(api), _health(api)),
        asyncio.gather(_waiting(api, summary), _ended(api, summary)),
        _stops(api),
    )
    queue, history, dead, running, failed = jobs
    agents, pools, (health, down) = people
    waiting, ended = deployments
    now = round(time.time() * 1000)
    asks = [
        *asks_of_deployments([*waiting, *ended]),
        *asks_of_dead_letters(dead.items, queue.dead_lettered),
        *asks_of_stops(stops, now),
    ]
    hours = history.items
    return page(
        request,
        "overview/overview.html",
        api=api,
        summary=summary,
        queue=queue,
        asks=asks,
        health=health,
        down=down,
        running=running.items,
        broken=broken([*failed.items, *dead.items], ended, now - _HOURS * 3_600_000, _MOST_BROKEN),
        unwell=[agent for agent in agents.items if agent.words],
        agents=[agent for agent in agents.items if agent.deregistered_at is None],
        hours=hours[::-1],
        charts=[ended_chart(hours), open_chart(hours), wait_chart(hours)] if hours else [],
        pools=pools,
        new=not summary.total_jobs and not summary.total_deployments,
    )


async def _waiting(api: Inside, summary: Summary) -> list[DeploymentSummary]:
    """On their way, and live ones, of which some wait for a person's decision."""
    if not summary.total_deployments:
        return []
    statuses = [*(_ON_THEIR_WAY if summary.deployments_active else ()), DeploymentStatus.LIVE]
    found = await asyncio.gather(*(_of_status(api, status, 50) for status in statuses))
    return [each for some in found for each in some]


async def _ended(api: Inside, summary: Summary) -> list[DeploymentSummary]:
    if not summary.total_deployments:
        return []
    statuses = (DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK)
    failed, back = await asyncio.gather(*(_of_status(api, status, 10) for status in statuses))
    return [*failed, *back]


async def _of_status(api: Inside, status: DeploymentStatus, limit: int) -> list[DeploymentSummary]:
    return (await api.get(f"{_DASHBOARD}/deployments", DeploymentPage, {"status": status, "limit": limit})).items


async def _stops(api: Inside) -> list[LineStop]:
    holds, freezes = await asyncio.gather(
        api.get(f"{_DASHBOARD}/holds", LineStops), api.get(f"{_DASHBOARD}/freezes", LineStops)
    )
    return [*holds.items, *freezes.items]


async def _health(api: Inside) -> tuple[SystemHealth | None, Problem | None]:
    """What is stuck, or what is down: the page is needed just then."""
    try:
        return await api.get("/health/system", SystemHealth), None
    except RefusedByApi as refused:
        return None, refused.problem


async def _pools(api: Inside) -> list[PoolBar]:
    """None while Temporal does not answer, which the page says elsewhere."""
    try:
        return pool_bars((await api.get("/api/agents/pools", PoolViews)).items)
    except RefusedByApi as refused:
        if refused.problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return []
