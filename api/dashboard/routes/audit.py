"""The audit trail: who did what."""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import chosen, page
from api.dashboard.inside import Inside
from workflows.contracts.audit.events import EventPage

router = APIRouter(include_in_schema=False)
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


@router.get("/audit")
async def audit(request: Request) -> Response:
    """Who did what, newest first; filters stand in the address."""
    query = chosen(request, *_FILTERS)
    found = await (api := Inside(request)).get("/api/events", EventPage, query)
    return page(request, "trail/audit.html", api=api, found=found, query=query, filters=_FILTERS[:-1])
