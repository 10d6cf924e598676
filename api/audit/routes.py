"""The audit trail: who did what when, from where, why. Append-only; nothing here writes it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.audit.events import as_events, as_lines, resource_of_event
from api.audit.follow import Ended, FeedFollower, FeedQuiet, Told
from api.audit.ports import AuditPorts, AuditPortsDep
from api.audit.positions import POSITION_PATTERN, heads_of
from api.auth.guard import Caller, require_what_is_asked, still_known
from api.auth.principal import Principal
from api.auth.reach import within
from api.http.answers import Cursor, Limit, Paging, json_answer
from api.http.ids import JobId
from api.http.patient import PatientStream
from api.http.times import with_times
from api.temporal.recorded import seen_job
from workflows.contracts.access import Operation
from workflows.contracts.audit.cloud import CloudEventPage, cloud_event
from workflows.contracts.audit.events import AuditEvent, EventPage, EventQuery
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.services import ServiceName
from workflows.contracts.fields import ShortLine

router = APIRouter(tags=["events"])
_JSON_LINES: Final = "application/jsonl"
_EVENT_STREAM: Final = "text/event-stream"
_STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_MAX_POSITION: Final = 1500
_SLOW_SECONDS: Final = 30.0
_ASK_AGAIN_MS: Final = 15_000
_UNKNOWN_NOW: Final = "the key is not known any more"
"""So long a follower may take for what is sent to it."""
_EXPORT_PAGE: Final = 100
Moment = Annotated[int, Field(ge=0, lt=1 << 53)]


class EventFilter(Frozen):
    """Whose events, what kind, of which time. All that is given must hold."""

    service_name: ServiceName | None = None
    environment: ShortLine | None = None
    pool: ShortLine | None = None
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
    """With paging: ``cursor`` is the ``next_cursor`` of the page before. Or followed: then without paging."""

    limit: Limit = 50
    cursor: Cursor | None = None
    format: Literal["plain", "cloudevents"] = Field(
        default="plain", description="Of a list: `cloudevents` for CloudEvents 1.0, as followers get them."
    )
    follow: bool = Field(default=False, description="Stay, and tell each event as it happens.")
    start: Literal["now", "first"] = Field(
        default="now", description="Of a follower without Last-Event-ID: `first` begins with all that is in the feed."
    )
    stream: Literal["sse", "jsonl"] = Field(default="sse", description="Of a follower: events, or JSON lines.")


@router.get(
    "/api/events",
    response_model=EventPage,
    responses={
        200: {
            "description": "A page of events, newest first; or, followed, a stream of CloudEvents in the order in which"
            " they were kept.",
            "content": {"application/json": {}, _EVENT_STREAM: {"schema": {"type": "object"}}},
        }
    },
    summary="List what was done, newest first, or follow what is done",
)
async def list_events(
    listing: Annotated[EventListQuery, Query()],
    request: Request,
    principal: Caller,
    ports: AuditPortsDep,
    last_event_id: Annotated[str | None, Header(pattern=POSITION_PATTERN, max_length=_MAX_POSITION)] = None,
) -> Response:
    """A page can be short while there are more: go on until ``next_cursor`` is null. ``stopped_early`` says that
    ``looked_at`` events were looked at, which is as many as one page may.

    With ``follow=true`` the stream begins now, or behind ``Last-Event-ID``: each event carries its position as id. It
    brings nothing twice and leaves nothing out, also after a reconnection to another process. Limited grants see what
    they reach.
    """
    if listing.follow:
        return await _followed(listing, request, principal, ports, last_event_id)
    await require_what_is_asked(request, ports, Operation.AUDIT_READ, principal)
    page = await ports.deployments.events(_query(listing, limit=listing.limit, cursor=listing.cursor))
    if listing.format == "cloudevents":
        items = [cloud_event(event, ports.environment) for event in page.items]
        cloud = CloudEventPage(items=items, **page.model_dump(exclude={"items"}))
        return json_answer(with_times(CloudEventPage, cloud.model_dump_json(exclude_none=True).encode()))
    return json_answer(page.model_dump_json().encode())


@router.get(
    "/api/dashboard/jobs/{job_id}/events",
    response_model=EventPage,
    tags=["jobs"],
    summary="List what was done to a job, newest first",
)
async def list_job_events(job_id: JobId, paging: Paging, ports: AuditPortsDep) -> Response:
    """The job's part of the audit trail: who submitted, changed, stopped it, and how it went."""
    page = await ports.deployments.events(EventQuery(job_id=job_id, limit=paging.limit, cursor=paging.cursor))
    if not page.items and paging.cursor is None:
        await seen_job(ports, job_id)  # raises NotFound
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
    query = _query(chosen, limit=_EXPORT_PAGE, until=until)
    first = await ports.deployments.events(query)  # a fault before the first line is still a status
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="events.jsonl"'}
    return StreamingResponse(_lines(ports, query, first), 200, headers, _JSON_LINES)


async def _lines(ports: AuditPorts, query: EventQuery, page: EventPage) -> AsyncIterator[bytes]:
    while True:
        if page.items:
            yield b"".join(with_times(AuditEvent, event.model_dump_json().encode()) + b"\n" for event in page.items)
        if page.next_cursor is None:
            return
        page = await ports.deployments.events(query.model_copy(update={"cursor": page.next_cursor}))


async def _followed(
    wanted: EventListQuery, request: Request, principal: Principal, ports: AuditPorts, last_event_id: str | None
) -> Response:
    begin = heads_of(last_event_id) if last_event_id is not None else {} if wanted.start == "first" else None
    query = _query(wanted)

    def sees(event: AuditEvent) -> bool:
        return query.matches(event) and bool(within(principal, [event], resource_of_event, Operation.AUDIT_READ))

    stack = AsyncExitStack()
    await stack.enter_async_context(ports.tail.followed())  # a store that is down is a 503, and no broken 200

    async def told() -> AsyncGenerator[Told, None]:
        asked_at = ports.clock()
        async with stack, aclosing(FeedFollower(ports.tail, begin, sees).told()) as following:
            async for each in following:
                yield each
                if isinstance(each, Ended) or not (isinstance(each, FeedQuiet) or _long_since(asked_at, ports)):
                    continue
                asked_at = ports.clock()
                if not await still_known(request, ports):
                    yield Ended(each.position if isinstance(each, FeedQuiet) else each[-1].position, _UNKNOWN_NOW)
                    return

    text, media = (as_lines, _JSON_LINES) if wanted.stream == "jsonl" else (as_events, _EVENT_STREAM)
    return PatientStream(text(told()), headers=_STREAM_HEADERS, media_type=media, seconds=_SLOW_SECONDS)


def _long_since(asked_at: int, ports: AuditPorts) -> bool:
    """A busy feed has no quiet moment."""
    return ports.clock() - asked_at >= _ASK_AGAIN_MS


def _query(chosen: EventFilter, **paging: object) -> EventQuery:
    fields = {name: getattr(chosen, name) for name in EventFilter.model_fields}
    return EventQuery.model_validate({**fields, **paging})
