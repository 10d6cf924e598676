"""The audit trail: who did what when, from where, why. Append-only; nothing here writes it."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api.audit.ports import AuditPorts, AuditPortsDep
from api.http.answers import Cursor, Limit, json_answer
from workflows.contracts.audit.events import EventPage, EventQuery
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.services import ServiceName
from workflows.contracts.fields import ShortLine

router = APIRouter(tags=["events"])
_JSON_LINES: Final = "application/jsonl"
_EXPORT_PAGE: Final = 100
Moment = Annotated[int, Field(ge=0, lt=1 << 53)]


class EventFilter(Frozen):
    """Whose events, what kind, of which time. All that is given must hold."""

    service_name: ServiceName | None = None
    deployment_id: ShortLine | None = None
    job_id: ShortLine | None = None
    agent_id: ShortLine | None = None
    by: ShortLine | None = Field(default=None, description="Who did it: a person, `key:<name>`, `admin`, …")
    action: ShortLine | None = Field(
        default=None, description="A beginning: `deployment.`, `access.key`, `job.cancel`."
    )
    since: Moment | None = Field(default=None, description="Epoch milliseconds, included.")
    until: Moment | None = Field(default=None, description="Epoch milliseconds, included.")


class EventListQuery(EventFilter):
    """With paging: ``cursor`` is the ``next_cursor`` of the page before."""

    limit: Limit = 50
    cursor: Cursor | None = None


@router.get("/api/events", response_model=EventPage, summary="List what was done, newest first")
async def list_events(listing: Annotated[EventListQuery, Query()], ports: AuditPortsDep) -> Response:
    """A page can be short while there are more: go on until ``next_cursor`` is null."""
    page = await ports.deployments.events(EventQuery(**listing.model_dump()))
    return json_answer(page.model_dump_json().encode())


@router.get(
    "/api/events/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One event as JSON on each line. A connection that breaks says that there would be more.",
            "content": {_JSON_LINES: {"schema": {"type": "string"}}},
        }
    },
    summary="Export what was done as JSON lines, newest first",
)
async def export_events(chosen: Annotated[EventFilter, Query()], ports: AuditPortsDep) -> Response:
    """All that match, as they are read. What happens meanwhile is not among them."""
    until = ports.clock() if chosen.until is None else chosen.until
    query = EventQuery.model_validate({**chosen.model_dump(), "until": until, "limit": _EXPORT_PAGE})
    first = await ports.deployments.events(query)  # a fault before the first line is still a status
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="events.jsonl"'}
    return StreamingResponse(_lines(ports, query, first), 200, headers, _JSON_LINES)


async def _lines(ports: AuditPorts, query: EventQuery, page: EventPage) -> AsyncIterator[bytes]:
    while True:
        if page.items:
            yield b"".join(event.model_dump_json().encode() + b"\n" for event in page.items)
        if page.next_cursor is None:
            return
        page = await ports.deployments.events(query.model_copy(update={"cursor": page.next_cursor}))
