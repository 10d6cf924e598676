"""What an agent delivers for an attempt: its start, its log, its files. An agent delivers only for its own attempts.

Deliberately not here: results and leases, which go to Temporal directly. All three are idempotent: an agent repeats
them until it has an answer.
"""

import asyncio
from itertools import pairwise
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from activities.stores.bundles import read_bundle
from activities.stores.interfaces.logs import LogChunk
from activities.stores.paths import check_artifact_path
from api.attempts.late import adds_to_ended
from api.attempts.ports import AttemptPorts, AttemptPortsDep
from api.auth.deliveries import require_delivery, require_itself
from api.auth.guard import Caller
from api.http.bodies import json_body
from api.http.ids import JobId
from api.http.uploads import spooled
from api.temporal.recorded import recorded
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.errors import FieldError, InvalidState, ValidationFailed, field_errors

ContentSha256 = Annotated[
    str, Header(alias="Content-SHA256", pattern=r"^[0-9a-f]{64}$", description="Of the body, in hexadecimal.")
]
router = APIRouter(prefix="/api/queue/jobs/{job_id}/attempts/{attempt}", tags=["agents"])
MAX_MARKS: Final = 500
_MAX_MILLIS: Final = 1 << 53
_MARKS: Final = TypeAdapter(list[tuple[int, int]])
AttemptNumber = Annotated[int, Path(ge=1, le=1_000_000)]
DeliveryKey = Annotated[
    str | None, Header(pattern=r"^[0-9a-f]{64}$", description="The attempt's `delivery_key`, as its task has it.")
]
_BYTES: Final = {
    "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
_TAKEN: Final[dict[int | str, dict[str, Any]]] = {204: {"description": "It is kept; sending it again changes nothing."}}


@router.put("/start", status_code=204, responses=_TAKEN, summary="An attempt has begun")
async def attempt_started(
    job_id: JobId,
    attempt: AttemptNumber,
    announcement: Annotated[AttemptStarted, Depends(json_body(AttemptStarted))],
    ports: AttemptPortsDep,
    caller: Caller,
    delivery_key: DeliveryKey = None,
) -> Response:
    """Makes the job show its agent and lease. 404 when the job is gone."""
    if announcement.attempt != attempt:
        raise _invalid("attempt", f"says {announcement.attempt}, but the address says {attempt}")
    require_itself(caller, announcement.agent_id)
    await require_delivery(ports, caller, job_id, attempt, delivery_key)
    await ports.job_client.attempt_started(job_id, announcement)
    return Response(status_code=204)


@router.put(
    "/log/{offset}",
    status_code=204,
    responses=_TAKEN,
    openapi_extra=_BYTES,
    summary="A piece of the log",
)
async def append_log(
    request: Request,
    job_id: JobId,
    attempt: AttemptNumber,
    offset: Annotated[int, Path(ge=0, lt=1 << 40)],
    ports: AttemptPortsDep,
    caller: Caller,
    log_marks: Annotated[
        str, Header(max_length=24 * 1024, description="JSON: [[offset in chunk, epoch ms], …]")
    ] = "[]",
    log_final: Annotated[bool, Header(description="`true` on the last piece, which can be empty.")] = False,
    log_sha256: Annotated[
        str | None, Header(pattern=r"^[0-9a-f]{64}$", description="Of the log up to this piece's end, in hexadecimal.")
    ] = None,
    delivery_key: DeliveryKey = None,
) -> Response:
    """The bytes from ``offset`` on, masked by the agent. 409 for what would change a log that has ended, or that of an
    ended attempt: only the rest of it may still come.
    """
    ended = await require_delivery(ports, caller, job_id, attempt, delivery_key)
    data = await request.body()
    chunk = LogChunk(offset=offset, data=data, marks=_marks(log_marks, len(data)), final=log_final, sha256=log_sha256)
    late = ended is not None or (job_id, attempt) in ports.ended_logs
    if not late or await adds_to_ended(ports.logs, job_id, attempt, ended, chunk):
        await ports.logs.append(job_id, attempt, chunk)
        ports.compactor.stored(job_id, attempt, chunk)
    if chunk.final:
        ports.ended_logs.add(job_id, attempt)
    return Response(status_code=204)


@router.put(
    "/artifacts/{path:path}",
    status_code=204,
    responses=_TAKEN,
    openapi_extra=_BYTES,
    summary="A file the attempt leaves behind",
)
async def put_artifact(
    request: Request,
    job_id: JobId,
    attempt: AttemptNumber,
    path: str,
    ports: AttemptPortsDep,
    caller: Caller,
    content_sha256: ContentSha256,
    delivery_key: DeliveryKey = None,
    artifact_executable: Annotated[bool, Header(description="Its owner may run it.")] = False,
) -> Response:
    """Streamed; needs Content-Length. A file sent again replaces the earlier one, until the attempt has ended: its
    record names sizes and digests."""
    await require_delivery(ports, caller, job_id, attempt, delivery_key)
    check_artifact_path(path)
    await _require_running(ports, job_id, attempt)
    async with spooled(request, content_sha256) as body:
        await ports.artifacts.put(job_id, attempt, path, body, sha256=content_sha256, executable=artifact_executable)
    return Response(status_code=204)


@router.put(
    "/artifact-bundles",
    status_code=204,
    responses=_TAKEN,
    openapi_extra=_BYTES,
    summary="Many small files the attempt leaves behind",
)
async def put_artifact_bundle(
    request: Request,
    job_id: JobId,
    attempt: AttemptNumber,
    ports: AttemptPortsDep,
    caller: Caller,
    content_sha256: ContentSha256,
    delivery_key: DeliveryKey = None,
) -> Response:
    """A zip without compression of at most 1,000 files and 16 MiB, each file's SHA-256 as its comment, its mode as the
    zip has it. All of them are kept, or none; each is an artifact like one that was sent alone."""
    await require_delivery(ports, caller, job_id, attempt, delivery_key)
    await _require_running(ports, job_id, attempt)
    async with spooled(request, content_sha256) as body:
        files = await asyncio.to_thread(read_bundle, body)
        await ports.artifacts.put_bundle(job_id, attempt, body, files, sha256=content_sha256)
    return Response(status_code=204)


async def _require_running(ports: AttemptPorts, job_id: str, attempt: int) -> None:
    job = await recorded(ports, job_id)
    if any(tried.number == attempt and tried.outcome is not None for tried in job.attempts):
        raise InvalidState(f"Attempt {attempt} of job {job_id} has ended: its artifacts cannot change any more.")


def _marks(raw: str, size: int) -> list[tuple[int, int]]:
    try:
        marks = _MARKS.validate_json(raw, strict=True)
    except ValidationError as error:
        raise ValidationFailed("Log-Marks cannot be read.", field_errors(error, inside="Log-Marks")) from None
    if len(marks) > MAX_MARKS:
        raise _invalid("Log-Marks", f"has {len(marks)} marks; at most {MAX_MARKS} are allowed")
    if any(not 0 <= offset <= size or not 0 <= millis < _MAX_MILLIS for offset, millis in marks):
        raise _invalid("Log-Marks", "has a mark outside the chunk, or an impossible time")
    if any(later[0] < earlier[0] for earlier, later in pairwise(marks)):
        raise _invalid("Log-Marks", "must be in the order of offsets")
    return marks


def _invalid(field: str, message: str) -> ValidationFailed:
    return ValidationFailed(f"{field} {message}.", [FieldError(field=field, message=message)])
