"""``GET …/logs``: a job's log as text or as events, once or followed live."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api.http.ids import JobId
from api.logs.events import PLACE_PATTERN, as_events, place_of
from api.logs.moments import place_since
from api.logs.ports import LogPorts, LogPortsDep
from api.logs.ranges import LINES_PATTERN, LineRange, LogPart, part_of_lines, part_of_step
from api.logs.removed import require_log
from api.logs.stream import LogRequest, LogStream, is_complete
from api.logs.text import as_text
from workflows.contracts.base import Frozen
from workflows.contracts.errors import FieldError, NotFound, ValidationFailed
from workflows.contracts.jobs import Attempt, Job

router = APIRouter(prefix="/api/dashboard/jobs", tags=["jobs"])
SAFE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
"""A log or artifact is a stranger's bytes on our origin: never a page, a script or a frame of ours."""
_LARGE_BYTES: Final = 64 * 1024
"""A smaller log is read as it is."""


class LogQuery(Frozen):
    """Which log, from where and how."""

    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["all"] | None = Field(
        default=None, description="A number, or `all` for one after the other; default: the last attempt."
    )
    start: Annotated[int, Field(ge=0, lt=1 << 50)] = Field(default=0, description="Offset in bytes.")
    lines: Annotated[str, Field(pattern=LINES_PATTERN, max_length=40)] | None = Field(
        default=None,
        description="Of one attempt: `7-9`, `7-` (to the end), `7`, `-7` (the last seven) or `-7--3`.",
    )
    step: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="Of an attempt that has ended: this step's part; 1 is the first."
    )
    since: Annotated[int, Field(ge=0, lt=1 << 53)] | None = Field(
        default=None,
        description="Only what was printed then or later, in epoch milliseconds; also of `lines` or a `step`.",
    )
    follow: bool = Field(default=False, description="Stay until the log and the job have ended.")
    timestamps: bool = Field(default=False, description="The time before each line (text only).")
    format: Literal["text", "sse"] = Field(default="text", description="`sse`: events that can be resumed.")


@router.get(
    "/{job_id}/logs",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The log. Headers: Log-Attempt, and Log-Complete unless followed.",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "text/event-stream": {"schema": {"type": "object"}},
            },
        }
    },
    summary="Read or follow a job's log",
)
async def read_log(
    job_id: JobId,
    wanted: Annotated[LogQuery, Query()],
    ports: LogPortsDep,
    last_event_id: Annotated[str | None, Header(pattern=PLACE_PATTERN)] = None,
) -> Response:
    """The bytes as the job printed them (secrets masked by the agent).

    Followed without ``attempt``, the stream goes on from the last attempt to the next ones, with a line between them,
    until the job has ended. Lines of ours begin with ``[hybridci]``.
    """
    job = await ports.reader.get(job_id)
    require_log(job)
    request = _request(job, wanted, last_event_id)
    headers = {**SAFE_HEADERS, "Log-Attempt": str(request.first)}
    if (part := await _part(ports, job, request.first, wanted)) is not None:
        start = part.start if last_event_id is None else max(part.start, request.start)
        request = replace(request, start=start, end=part.end)
        headers |= {"Log-Start": str(part.start)} | ({} if part.lines is None else {"Log-Lines": part.lines})
    _perhaps_compact(ports, job, request.first)
    if not request.follow:
        headers["Log-Complete"] = str(await _complete(ports, job, request)).lower()
    events = LogStream(ports, job, request).events()
    if wanted.format == "sse":
        body, media = as_events(events), "text/event-stream"
    else:
        body, media = as_text(events, timestamps=wanted.timestamps), "text/plain; charset=utf-8"
    # A follower outlasts an outage by itself, and a quiet log is no reason to wait with the headers.
    stream = body if request.follow else await _begun(body)
    return StreamingResponse(stream, headers=headers, media_type=media)


async def _part(ports: LogPorts, job: Job, attempt: int, wanted: LogQuery) -> LogPart | None:
    """What is asked for besides an offset. Raises ValidationFailed for what does not go together."""
    if wanted.lines is None and wanted.step is None and wanted.since is None:
        return None
    field = "lines" if wanted.lines is not None else "step" if wanted.step is not None else "since"
    if wanted.attempt == "all" or wanted.start or (wanted.lines is not None and wanted.step is not None):
        raise _apart(field, "cannot be asked for together with start or with all attempts, nor lines with a step")
    if wanted.step is not None:
        part = part_of_step(job, attempt, wanted.step)
    elif wanted.lines is None:
        part = LogPart(0, None)
    else:
        part = await part_of_lines(ports, job.job_id, attempt, LineRange.read(wanted.lines or ""))
    if wanted.since is not None:
        part = part.behind(await place_since(ports.logs, job.job_id, attempt, wanted.since))
    if wanted.follow and not part.open:
        raise _apart(field, "can be followed only when they have no end: write 7- or -7")
    return part


def _apart(field: str, problem: str) -> ValidationFailed:
    return ValidationFailed(f"{field} {problem}.", [FieldError(field=field, message=problem)])


def _perhaps_compact(ports: LogPorts, job: Job, number: int) -> None:
    """A large log of which the process that took its last piece died, or that is of before, is compacted now."""
    attempt = next((each for each in job.attempts if each.number == number), None)
    if attempt is not None and attempt.outcome is not None and (attempt.log_bytes or 0) >= _LARGE_BYTES:
        ports.compactor.wanted(job.job_id, number)


def _request(job: Job, wanted: LogQuery, last_event_id: str | None) -> LogRequest:
    start, attempt = wanted.start, wanted.attempt
    last = job.attempts[-1].number if job.attempts else 1
    first = last if attempt is None else 1 if attempt == "all" else attempt
    if last_event_id is not None:
        place, start = place_of(last_event_id)
        first = place or first
    if first > last:
        raise NotFound(f"Job {job.job_id} has no attempt {first}: its last is {last}.")
    onward = attempt == "all" or (attempt is None and wanted.follow)  # also of lines without an end
    return LogRequest(first, start, follow=wanted.follow, onward=onward, title_first=attempt == "all")


async def _complete(ports: LogPorts, job: Job, request: LogRequest) -> bool:
    chosen: list[Attempt] = [item for item in job.attempts if item.number == request.first]
    if request.onward:
        chosen = job.attempts[-1:] if job.status.ended else []
    if not chosen:
        return job.status.ended  # it never ran: there is nothing to come
    return await is_complete(ports, job.job_id, chosen[0])


async def _begun(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same stream once its first bytes are there, so that a store that is down is a 503 and not a broken 200."""
    first = await anext(body, None)

    async def whole() -> AsyncIterator[bytes]:
        if first is not None:
            yield first
        async for piece in body:
            yield piece

    return whole()
