"""The first page: what waits for a person, what broke and why, what runs, how the queue goes, who works."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.agents.schemas import AgentViews, PoolViews
from api.dashboard.answers import page
from api.dashboard.hours import ended_chart, open_chart, wait_chart
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.pool_bars import pool_bars
from api.line.schemas import LineStops
from api.needs import (
    ENDED,
    HOURS,
    MOST_AGENTS,
    MOST_DEAD_LETTERS,
    MOST_OF_A_STATUS,
    MOST_SERVICES,
    MOST_WAITING,
    WAITING,
    Answered,
    AskKind,
    asks_of,
    broken_of,
    unwell_agents,
)
from api.system.schemas.repairs import StuckOut
from api.system.schemas.summary import Summary
from workflows.contracts.agents import PoolView
from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.deployment import DeploymentPage, DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.lanes import LanePage
from workflows.contracts.errors import FieldError
from workflows.contracts.jobs import JobSummary
from workflows.contracts.records import JobPage, QueueHistory
from workflows.contracts.repairs import StuckWorkflow

router = APIRouter(include_in_schema=False)
_MOST_JOBS: Final = 10
_IN_BOXES: Final = frozenset({AskKind.PART, AskKind.STUCK})
"""The page says more of these than a row of the table."""
_DASHBOARD: Final = "/api/dashboard"


class ShownHealth(Tolerant):
    """Of a problem, ``detail`` and ``errors`` say what is not well; how it is all the same, the rest."""

    detail: str = ""
    errors: list[FieldError] = Field(default_factory=list[FieldError])
    stuck: int = 0
    items: list[StuckOut] = Field(default_factory=list[StuckOut])


@dataclass(frozen=True, slots=True)
class Work:
    """The counters, and the jobs and deployments of which they say that there are some."""

    summary: Summary
    dead: list[JobSummary]
    running: list[JobSummary]
    failed: list[JobSummary]
    waiting: list[DeploymentSummary]
    ended: list[DeploymentSummary]


@router.get("/")
async def overview(request: Request) -> Response:
    """Everything links to the thing. Who is no browser wants to know what the API has."""
    if "text/html" not in request.headers.get("accept", ""):
        return RedirectResponse("/api/docs", 307)
    api = Inside(request)
    # Whoever is not known signs in: nothing more is asked.
    freezes = await api.get(f"{_DASHBOARD}/freezes", LineStops)
    work, history, (agents, pools, health), holds, lanes = await asyncio.gather(
        _work(api),
        api.get("/api/queue/history", QueueHistory, {"hours": HOURS}),
        asyncio.gather(api.get("/api/agents", AgentViews, {"limit": MOST_AGENTS}), _pools(api), _health(api)),
        api.get(f"{_DASHBOARD}/holds", LineStops),
        api.get(f"{_DASHBOARD}/lanes", LanePage, {"limit": MOST_SERVICES}),
    )
    summary = work.summary
    found = Answered(
        unwell=health.errors,
        stuck=[StuckWorkflow.model_validate(each.model_dump()) for each in health.items],
        pools=pools,
        waiting=work.waiting,
        ended=work.ended,
        dead=work.dead,
        dead_letters=summary.jobs_dead_lettered,
        failed=work.failed,
        lanes=lanes.items,
        stops=[*holds.items, *freezes.items],
        agents=agents.items,
    )
    now = round(time.time() * 1000)
    asks = asks_of(found, now)
    hours = history.items
    return page(
        request,
        "overview/overview.html",
        api=api,
        summary=summary,
        waits=len(asks),
        asks=[ask for ask in asks if ask.kind not in _IN_BOXES],
        health=health,
        running=work.running,
        broken=broken_of(found, now),
        unwell=unwell_agents(found.agents),
        agents=[agent for agent in agents.items if agent.deregistered_at is None],
        hours=hours[::-1],
        charts=[ended_chart(hours), open_chart(hours), wait_chart(hours)] if hours else [],
        pools=pool_bars(pools),
        new=not summary.total_jobs and not summary.total_deployments,
    )


async def _work(api: Inside) -> Work:
    """Of what the counters say that there is none, nothing is asked."""
    summary = await api.get(f"{_DASHBOARD}/summary", Summary, {"recent_jobs": 0})
    return Work(
        summary,
        *await asyncio.gather(
            _jobs(api, "/api/queue/dead-letters", summary.jobs_dead_lettered, limit=MOST_DEAD_LETTERS),
            _jobs(api, f"{_DASHBOARD}/jobs/running", summary.jobs_running, limit=_MOST_JOBS),
            _jobs(api, f"{_DASHBOARD}/jobs", summary.jobs_failed, status="failed", limit=MOST_OF_A_STATUS),
            _of_statuses(api, summary, WAITING, limit=MOST_WAITING, waits=True),
            _of_statuses(api, summary, ENDED, limit=MOST_OF_A_STATUS),
        ),
    )


async def _jobs(api: Inside, path: str, count: int, **query: str | int) -> list[JobSummary]:
    return (await api.get(path, JobPage, query)).items if count else []


async def _of_statuses(
    api: Inside, summary: Summary, statuses: Sequence[DeploymentStatus], **query: int
) -> list[DeploymentSummary]:
    present = [status for status in statuses if summary.deployments_by_status.get(status.value)]
    path = f"{_DASHBOARD}/deployments"
    pages = await asyncio.gather(*(api.get(path, DeploymentPage, {**query, "status": each}) for each in present))
    return [each for found in pages for each in found.items]


async def _health(api: Inside) -> ShownHealth:
    """What is stuck, and what is down: the page is needed just then."""
    try:
        return ShownHealth.model_validate_json((await api.ask("GET", "/health/system")).body)
    except RefusedByApi as refused:
        return ShownHealth.model_validate_json(refused.body)


async def _pools(api: Inside) -> list[PoolView]:
    """None while Temporal does not answer, which the page says elsewhere."""
    try:
        return (await api.get("/api/agents/pools", PoolViews)).items
    except RefusedByApi as refused:
        if refused.problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return []
