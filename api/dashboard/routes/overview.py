"""The first page: what waits for a person, what broke and why, what runs, who works."""

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.agents.schemas import AgentViews
from api.dashboard.answers import page
from api.dashboard.inside import Inside
from api.system.schemas.summary import Summary
from workflows.contracts.deployments.deployment import DeploymentPage, DeploymentStatus
from workflows.contracts.records import JobPage, QueueStats

router = APIRouter(include_in_schema=False)
_MOST = 20
_WAITING = (DeploymentStatus.STAGED, DeploymentStatus.PENDING)


@router.get("/")
async def overview(request: Request) -> Response:
    """Everything links to the thing. Who is no browser wants to know what the API has."""
    if "text/html" not in request.headers.get("accept", ""):
        return RedirectResponse("/api/docs", 307)
    api = Inside(request)
    summary = await api.get("/api/dashboard/summary", Summary)
    (dead, running, failed), (agents, queue), waiting = await asyncio.gather(
        asyncio.gather(
            api.get("/api/queue/dead-letters", JobPage, {"limit": 10}),
            api.get("/api/dashboard/jobs/running", JobPage, {"limit": 10}),
            api.get("/api/dashboard/jobs", JobPage, {"status": "failed", "limit": 10}),
        ),
        asyncio.gather(
            api.get("/api/agents", AgentViews, {"limit": 100}),
            api.get("/api/queue/stats", QueueStats),
        ),
        asyncio.gather(*(_of_status(api, status) for status in _WAITING)),
    )
    asks = [each for found in waiting for each in found.items if each.waits_for]
    unwell = [agent for agent in agents.items if agent.words]
    return page(
        request,
        "overview.html",
        api=api,
        summary=summary,
        queue=queue,
        asks=asks,
        dead=dead.items,
        running=running.items,
        failed=failed.items,
        unwell=unwell,
        agents=agents.items,
    )


def _of_status(api: Inside, status: DeploymentStatus) -> Awaitable[DeploymentPage]:
    return api.get("/api/dashboard/deployments", DeploymentPage, {"status": status, "limit": _MOST})
