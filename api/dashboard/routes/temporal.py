"""Links to lists of the Temporal UI."""

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import page
from api.dashboard.inside import Inside
from api.dashboard.temporal_views import temporal_views
from api.ports import services_of

router = APIRouter(include_in_schema=False)
_ANYTHING = "/api/dashboard/summary"


@router.get("/temporal")
async def views(request: Request) -> Response:
    """To be opened, or kept as bookmarks; without the UI's address the queries alone."""
    api = Inside(request)
    await api.ask("GET", _ANYTHING, query={"recent_jobs": 0})  # whoever is not known signs in
    workflows = services_of(request).temporal_workflows
    return page(request, "temporal.html", api=api, views=temporal_views(workflows, round(time.time() * 1000)))
