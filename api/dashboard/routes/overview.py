"""The first page: what waits for a person, what broke and why, what runs, how the queue goes, who works."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.agents.schemas import AgentViews, PoolViews
from api.dashboard.answers import page
from api.dashboard.asks import (
    asks_of_dead_letters,
    asks_of_deployments,
    asks_of_lanes,
    asks_of_pools,
    asks_of_stops,
    broken,
)
from api.dashboard.hours import ended_chart, open_chart, wait_chart
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.pool_bars import PoolBar, pool_bars
from api.http.problems import Problem
from api.line.schemas import LineStops
from api.system.schemas.repairs import SystemHealth
from api.system.schemas.summary import Summary
from workflows.contracts.deployments.deployment import DeploymentPage, DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.lanes import LanePage
from workflows.contracts.deployments.line import LineStop
from workflows.contracts.jobs import JobSummary
from workflows.contracts.records import JobPage, QueueHistory

router = APIRouter(include_in_schema=False)
_HOURS: Final = 24
_MOST_BROKEN: Final = 8
_MOST_JOBS: Final = 10
_MOST_PARKED: Final = 30
_MOST_SERVICES: Final = 20
_WAITING: Final = (
    DeploymentStatus.PENDING,
    DeploymentStatus.STAGING,
    DeploymentStatus.STAGED,
    DeploymentStatus.PRODUCTION,
    DeploymentStatus.LIVE,
)
"""Some of those that are live wait for a person's decision."""
_ENDED: Final = (DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK)
_DASHBOARD: Final = "/api/dashboard"


@router.get("/")
async def overview(request: Request) -> Response:
    """Everything links to the thing. Who is no browser wants to know what the API has."""
    if "text/html" not in request.headers.get("accept", ""):
        return RedirectResponse("/api/docs", 307)
    api = Inside(request)
    # Whoever is not known signs in: nothing more is asked. Of what the counters say that there is none, nothing is.
    summary = await api.get(f"{_DASHBOARD}/summary", Summary, {"recent_jobs": 0})
    history, jobs, people, deployments, stops, lanes = await asyncio.gather(
        api.get("/api/queue/history", QueueHistory, {"hours": _HOURS}),
        asyncio.gather(
            _jobs(api, "/api/queue/dead-letters", summary.jobs_dead_lettered, limit=_MOST_PARKED),
            _jobs(api, f"{_DASHBOARD}/jobs/running", summary.jobs_running, limit=_MOST_JOBS),
            _jobs(api, f"{_DASHBOARD}/jobs", summary.jobs_failed, status="failed", limit=_MOST_BROKEN),
        ),
        asyncio.gather(api.get("/api/agents", AgentViews, {"limit": 100}), _pools(api), _health(api)),
        asyncio.gather(_of_statuses(api, summary, _WAITING, 15), _of_statuses(api, summary, _ENDED, _MOST_BROKEN)),
        _stops(api),
        api.get(f"{_DASHBOARD}/lanes", LanePage, {"limit": _MOST_SERVICES}),
    )
    dead, running, failed = jobs
    agents, pools, (health, down) = people
    waiting, ended = deployments
    now = round(time.time() * 1000)
    asks = [
        *asks_of_pools(bar.pool for bar in pools),
        *asks_of_deployments([*waiting, *ended]),
        *asks_of_dead_letters(dead, summary.jobs_dead_lettered),
        *asks_of_stops(stops, now),
        *asks_of_lanes(lanes.items),
    ]
    hours = history.items
    return page(
        request,
        "overview/overview.html",
        api=api,
        summary=summary,
        asks=asks,
        health=health,
        down=down,
        running=running,
        broken=broken([*failed, *dead], ended, now - _HOURS * 3_600_000, _MOST_BROKEN),
        unwell=[agent for agent in agents.items if agent.words],
        agents=[agent for agent in agents.items if agent.deregistered_at is None],
        hours=hours[::-1],
        charts=[ended_chart(hours), open_chart(hours), wait_chart(hours)] if hours else [],
        pools=pools,
        new=not summary.total_jobs and not summary.total_deployments,
    )


async def _jobs(api: Inside, path: str, count: int, **query: str | int) -> list[JobSummary]:
    return (await api.get(path, JobPage, query)).items if count else []


async def _of_statuses(
    api: Inside, summary: Summary, statuses: Sequence[DeploymentStatus], limit: int
) -> list[DeploymentSummary]:
    present = [status for status in statuses if summary.deployments_by_status.get(status.value)]
    found = await asyncio.gather(*(_of_status(api, status, limit) for status in present))
    return [each for some in found for each in some]


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
