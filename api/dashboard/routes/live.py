"""What changes, as pages need it to know that they are old: of what, and nothing about it. For whoever may read it.

One stream for all that a browser shows: the feed of events, and the growth of the logs that are open (``log``). A
message without a name is a list of what changed, with its place as id; ``log`` says how long a log is now. ``begin``
comes first, and says whether the stream goes on behind ``after`` or ``Last-Event-ID`` without a gap.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, Header, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.audit.events import resource_of_event
from api.audit.follow import Ended, FeedFollower, FeedQuiet
from api.audit.ports import AuditPorts
from api.audit.positions import POSITION_PATTERN, heads_of
from api.audit.tail import Tail
from api.auth.guard import Caller, still_known
from api.auth.principal import Principal
from api.auth.reach import within
from api.dashboard.inside import Inside, RefusedByApi
from api.http.patient import PatientStream
from api.jobs.schemas import ShownJob
from api.logs.growth import LogGrowth
from api.ports import provided
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import Heads
from workflows.contracts.base import Frozen

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_SLOW_SECONDS: Final = 30.0
_OF_WHAT: Final = {"action", "job_id", "deployment_id", "service_name", "agent_id", "pool"}
_LOG: Final = r"[0-9a-f-]{36}:[1-9][0-9]{0,5}"
_LOGS: Final = rf"^{_LOG}(,{_LOG}){{0,15}}$"
_MOST_POSITION: Final = 1500
_WAITING: Final = 100
_NOT_TO_SEE: Final = frozenset[str]({"not_found", "forbidden"})
_PING: Final = b": following\n\n"


class LivePorts(AuditPorts, Protocol):
    """What following needs."""

    @property
    def log_growth(self) -> LogGrowth:
        """That logs grow."""
        ...


class LiveQuery(Frozen):
    """What to follow besides the events, and from where on."""

    log: Annotated[str, Field(pattern=_LOGS)] | None = Field(
        default=None, description="`<job>:<attempt>`, several with commas: say when this log grows."
    )
    after: Annotated[str, Field(pattern=POSITION_PATTERN, max_length=_MOST_POSITION)] | None = Field(
        default=None, description="The id of the last message of the stream before."
    )


@router.get("/live")
async def live(
    request: Request,
    wanted: Annotated[LiveQuery, Query()],
    principal: Caller,
    ports: Annotated[LivePorts, Depends(provided)],
    last_event_id: Annotated[str | None, Header(pattern=POSITION_PATTERN, max_length=_MOST_POSITION)] = None,
) -> Response:
    """From where the stream before ended, or from now on: then a page is asked for again when it begins."""
    logs = await _readable(request, (wanted.log or "").split(","))
    stack = AsyncExitStack()
    await stack.enter_async_context(ports.tail.followed())  # a store that is down is a 503, and no broken 200
    place = wanted.after or last_event_id
    begin = _begin(ports.tail, heads_of(place)) if place is not None else None
    told = _merged(
        [_changes(request, principal, ports, begin), *(_growth(ports.log_growth, job, number) for job, number in logs)]
    )

    async def whole() -> AsyncGenerator[bytes, None]:
        async with stack, told as messages:
            async for message in messages:
                yield message

    return PatientStream(whole(), headers=_HEADERS, media_type="text/event-stream", seconds=_SLOW_SECONDS)


async def _readable(request: Request, wanted: Sequence[str]) -> list[tuple[str, int]]:
    """The logs that the caller may read. Raises RefusedByApi when nobody can tell."""
    api, found = Inside(request), list[tuple[str, int]]()
    for each in filter(None, dict.fromkeys(wanted)):
        job_id, _, attempt = each.partition(":")
        try:
            await api.get(f"/api/dashboard/jobs/{job_id}", ShownJob)
        except RefusedByApi as refused:
            if refused.problem.code not in _NOT_TO_SEE:
                raise
        else:
            found.append((job_id, int(attempt)))
    return found


def _begin(tail: Tail, place: Heads) -> Heads | None:
    """None for a place that this feed has not reached: it is another one, or another process is ahead."""
    heads = tail.heads
    return place if all(number <= heads.get(shard, 0) for shard, number in place.items()) else None


async def _changes(
    request: Request, principal: Principal, ports: AuditPorts, begin: Heads | None
) -> AsyncGenerator[bytes, None]:
    def sees(event: AuditEvent) -> bool:
        return bool(within(principal, [event], resource_of_event))

    begun = False
    async with aclosing(FeedFollower(ports.tail, begin, sees).told()) as following:
        async for each in following:
            if isinstance(each, Ended):
                return
            if not isinstance(each, FeedQuiet):
                what = [one.row.event.model_dump(include=_OF_WHAT, exclude_none=True) for one in each]
                yield _message(what, place=each[-1].position)
            elif not begun:
                begun = True
                yield _message({"resumed": begin is not None}, name="begin", place=each.position)
            elif await still_known(request, ports):
                yield _PING
            else:
                return


async def _growth(growth: LogGrowth, job_id: str, attempt: int) -> AsyncGenerator[bytes, None]:
    async with aclosing(growth.told(job_id, attempt)) as following:
        async for extent in following:
            told = {"job_id": job_id, "attempt": attempt, "size": extent.size, "complete": extent.complete}
            yield _message(told, name="log")


@asynccontextmanager
async def _merged(sources: Sequence[AsyncGenerator[bytes, None]]) -> AsyncGenerator[AsyncIterator[bytes]]:
    """The messages of all as they come, until the first source has ended. Who is slow holds the sources up."""
    waiting = asyncio.Queue[bytes | None](_WAITING)

    async def pump(source: AsyncGenerator[bytes, None], *, first: bool) -> None:
        try:
            async with aclosing(source):
                async for message in source:
                    await waiting.put(message)
        except Exception:  # the client comes again
            logger.exception("what is told to a page ended with an error")
        if first:
            await waiting.put(None)

    tasks = [asyncio.create_task(pump(each, first=number == 0)) for number, each in enumerate(sources)]

    async def messages() -> AsyncIterator[bytes]:
        while (message := await waiting.get()) is not None:
            yield message

    try:
        yield messages()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _message(what: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, name: str = "", place: str = "") -> bytes:
    head = (f"event: {name}\n" if name else "") + (f"id: {place}\n" if place else "")
    return f"{head}data: {json.dumps(what)}\n\n".encode("ascii")
