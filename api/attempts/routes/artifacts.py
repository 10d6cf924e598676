"""Files that attempts left behind: what there is, and downloading one or all."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api.attempts.ports import AttemptPortsDep
from api.attempts.zipped import zipped
from api.http.answers import json_answer
from api.http.ids import JobId
from api.jobs.schemas import ArtifactList
from api.logs.removed import require_artifacts
from api.logs.routes import SAFE_HEADERS
from workflows.contracts.base import Frozen
from workflows.contracts.errors import NotFound
from workflows.contracts.jobs import ArtifactRef, Job

router = APIRouter(prefix="/api/dashboard/jobs", tags=["jobs"])
_ZIP: Final = "application/zip"


class AttemptQuery(Frozen):
    """Whose artifacts."""

    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Default: the last attempt."
    )


WhichAttempt = Annotated[AttemptQuery, Query()]


@router.get("/{job_id}/artifacts", response_model=ArtifactList, summary="List an attempt's artifacts")
async def list_artifacts(job_id: JobId, ports: AttemptPortsDep, which: WhichAttempt) -> Response:
    """By path. Uploaded files are listed while the attempt still runs."""
    job = await ports.reader.get(job_id)
    require_artifacts(job, ports.clock())
    number = _number(job, which.attempt)
    items = await ports.artifacts.list(job_id, number)
    return json_answer(
        ArtifactList(attempt=number, items=items, expires_at=job.artifacts_expire_at).model_dump_json().encode()
    )


@router.get(
    "/{job_id}/artifacts.zip",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "All files as one archive, made while it is sent: one that breaks off is not whole.",
            "content": {_ZIP: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    summary="Download all of an attempt's artifacts",
)
async def get_all_artifacts(job_id: JobId, ports: AttemptPortsDep, which: WhichAttempt) -> Response:
    """By path, uncompressed. Names that some system could not write, or would write elsewhere, are changed."""
    job = await ports.reader.get(job_id)
    require_artifacts(job, ports.clock())
    number = _number(job, which.attempt)
    files = list(await ports.artifacts.list(job_id, number))
    if not files:
        raise NotFound(f"Attempt {number} of job {job_id} left no files.")
    body = zipped(files, lambda path: ports.artifacts.open(job_id, number, path))
    first = await anext(body, b"")
    name = f"job-{job_id[:8]}-attempt-{number}.zip"
    headers = {**SAFE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(joined(first, body), headers=headers, media_type=_ZIP)


@router.get(
    "/{job_id}/artifacts/{path:path}",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file, always as a download.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    summary="Download an artifact",
)
async def get_artifact(job_id: JobId, path: str, ports: AttemptPortsDep, which: WhichAttempt) -> Response:
    """``ETag`` is the file's SHA-256; ``Artifact-Executable: true`` is there when its owner may run it."""
    job = await ports.reader.get(job_id)
    require_artifacts(job, ports.clock())
    number = _number(job, which.attempt)
    # The record knows the first files of an ended attempt; the others only the store does, at another request.
    reported = [ref for tried in job.attempts if tried.number == number for ref in tried.artifacts]
    found = next((ref for ref in reported if ref.path == path), None)
    found = found or await ports.artifacts.find(job_id, number, path)
    if found is None:
        raise NotFound(f"Attempt {number} of job {job_id} left no file {path[:200]!r}.")
    body = ports.artifacts.open(job_id, number, path)
    first = await anext(body, b"")  # raises before the headers are sent, not after
    return StreamingResponse(joined(first, body), headers=_headers(found), media_type="application/octet-stream")


def _number(job: Job, wanted: int | None) -> int:
    last = job.attempts[-1].number if job.attempts else 1
    if wanted is not None and wanted > last:
        raise NotFound(f"Job {job.job_id} has no attempt {wanted}: its last is {last}.")
    return wanted or last


async def joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A file whose first piece was read before its headers were sent."""
    yield first
    async for piece in rest:
        yield piece


def _headers(ref: ArtifactRef) -> dict[str, str]:
    """Always an attachment: shown in place, a job's HTML would run scripts with the dashboard's rights."""
    name = ref.path.rsplit("/", 1)[-1]
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return {
        **SAFE_HEADERS,
        "Content-Length": str(ref.size),
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "ETag": f'"{ref.sha256}"',
        **({"Artifact-Executable": "true"} if ref.executable else {}),
    }
