"""What changes, as pages need it to know that they are old: of what, and nothing about it. For whoever may read it."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.audit.follow import Ended, FeedFollower, FeedQuiet, Told
from api.audit.ports import AuditPorts, AuditPortsDep
from api.auth.guard import Caller, still_known
from api.auth.principal import Principal
from api.auth.reach import within
from api.auth.resources import Resource
from api.http.errors import ApiError
from api.http.patient import PatientStream
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.errors import Unavailable

router = APIRouter(include_in_schema=False)
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_SLOW_SECONDS: Final = 30.0
_OF_WHAT: Final = {"action", "job_id", "deployment_id", "service_name", "agent_id", "pool"}


@router.get("/live")
async def live(request: Request, principal: Caller, ports: AuditPortsDep) -> Response:
    """From now on: a page is asked for again whenever the stream begins."""
    stack = AsyncExitStack()
    await stack.enter_async_context(ports.tail.followed())  # a store that is down is a 503, and no broken 200
    return PatientStream(
        _told(request, principal, ports, stack), headers=_HEADERS, media_type="text/event-stream", seconds=_SLOW_SECONDS
    )


async def _told(
    request: Request, principal: Principal, ports: AuditPorts, stack: AsyncExitStack
) -> AsyncGenerator[bytes, None]:
    def sees(event: AuditEvent) -> bool:
        return bool(within(principal, [event], _resource))

    async with stack, aclosing(FeedFollower(ports.tail, None, sees).told()) as following:
        yield b": following\n\n"
        async for each in following:
            if isinstance(each, Ended):
                return
            if isinstance(each, FeedQuiet):
                if not await _known(request, ports):
                    return
                yield b": following\n\n"
                continue
            yield _message(each)


def _message(told: Told) -> bytes:
    assert not isinstance(told, FeedQuiet | Ended)  # noqa: S101 - for the type checker
    what = [one.row.event.model_dump(include=_OF_WHAT, exclude_none=True) for one in told]
    return b"data: %b\n\n" % json.dumps(what).encode("ascii")


async def _known(request: Request, ports: AuditPorts) -> bool:
    try:
        return await still_known(request, ports)
    except (Unavailable, ApiError):  # nobody can tell: it is asked again with the next sign of life
        return True


def _resource(event: AuditEvent) -> Resource:
    service = event.service_name or event.details.get("service")
    return Resource(service=service if isinstance(service, str) else None, pool=event.pool)
