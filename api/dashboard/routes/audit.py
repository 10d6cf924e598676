"""The audit trail: who did what, and taking it along."""

from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import chosen, page
from api.dashboard.inside import Inside
from api.dashboard.words import millis
from workflows.contracts.audit.events import EventPage

router = APIRouter(include_in_schema=False)
_FILTERS: Final = (
    "service_name", "environment", "pool", "deployment_id", "job_id", "agent_id", "by", "action",
)  # fmt: skip
_TIMES: Final = {"from": "since", "to": "until"}


@router.get("/audit")
async def audit(request: Request) -> Response:
    """Newest first; filters stand in the address, times in UTC."""
    query = chosen(request, *_FILTERS, *_TIMES, "cursor")
    asked: dict[str, object] = {name: query[name] for name in (*_FILTERS, "cursor") if name in query}
    asked |= {ours: millis(query[name]) for name, ours in _TIMES.items() if name in query}
    found = await (api := Inside(request)).get("/api/events", EventPage, asked)
    export = urlencode({name: value for name, value in asked.items() if name != "cursor"})
    return page(request, "trail/audit.html", api=api, found=found, query=query, filters=_FILTERS, export=export)
