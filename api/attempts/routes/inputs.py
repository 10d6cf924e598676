"""Files of other jobs that an attempt begins with, for the agent that runs it.

What the job's record names, and nothing else: whoever submitted the job was asked whether they may read that; of a
deployment's job it is what the same deployment, or the one that it goes back to, has built and tested.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response, StreamingResponse

from api.attempts.ports import AttemptPorts, AttemptPortsDep
from api.attempts.routes.artifacts import joined
from api.attempts.routes.delivery import AttemptNumber, DeliveryKey
from api.auth.deliveries import require_delivery
from api.auth.guard import Caller
from api.http.answers import json_answer
from api.http.ids import JobId
from api.logs.removed import require_artifacts
from api.logs.routes import SAFE_HEADERS
from api.temporal.recorded import recorded
from workflows.contracts.errors import InvalidState, NotFound, RemovedByPolicy
from workflows.contracts.jobs import SERVICE_LABEL, ArtifactRef, Job
from workflows.contracts.statuses import JobStatus
from workflows.contracts.workspace.inputs import MAX_INPUT_FILES, MAX_INPUTS, InputFile, InputFileList, InputFiles
from workflows.job.record import deployment_of

router = APIRouter(prefix="/api/queue/jobs/{job_id}/attempts/{attempt}", tags=["agents"])


@router.get("/inputs", response_model=InputFileList, summary="Files of other jobs that an attempt begins with")
async def list_attempt_inputs(
    job_id: JobId, attempt: AttemptNumber, ports: AttemptPortsDep, caller: Caller, delivery_key: DeliveryKey = None
) -> Response:
    """By path. ``missing`` says which inputs mean no file, and why."""
    await require_delivery(ports, caller, job_id, attempt, delivery_key)
    job = await _running(ports, job_id, attempt)
    files, missing = list[InputFile](), list[str]()
    for index, wanted in enumerate(job.inputs):
        try:
            found = await _chosen(ports, job, wanted)
        except (NotFound, RemovedByPolicy) as error:
            missing.append(f"input {index + 1}: {error.message}")
            continue
        except ValueError as error:
            missing.append(f"input {index + 1}: {error}")
            continue
        files += [_file(index, wanted, each) for each in found]
        if not found:
            named = ", ".join(wanted.artifacts)
            missing.append(f"input {index + 1}: job {wanted.job} left no file like {named}")
    if len(files) > MAX_INPUT_FILES:
        missing.append(f"they are {len(files)} files; at most {MAX_INPUT_FILES} are allowed")
        files = []
    return json_answer(InputFileList(items=files, missing=missing).model_dump_json().encode())


@router.get(
    "/inputs/{number}/{path:path}",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    summary="Download a file of another job for an attempt",
)
async def get_attempt_input(
    job_id: JobId,
    attempt: AttemptNumber,
    number: Annotated[int, Path(ge=0, lt=MAX_INPUTS)],
    path: str,
    ports: AttemptPortsDep,
    caller: Caller,
    delivery_key: DeliveryKey = None,
) -> Response:
    """``number`` is the list's ``index``; ``path`` as there."""
    await require_delivery(ports, caller, job_id, attempt, delivery_key)
    job = await _running(ports, job_id, attempt)
    # Patterns and paths can be such that it takes seconds: others are answered meanwhile.
    if number >= len(job.inputs) or not await asyncio.to_thread(_is_meant, job.inputs[number], path):
        raise NotFound(f"Job {job_id} has no such input.")
    wanted = job.inputs[number]
    source, number = await _source(ports, job, wanted)
    found = await ports.artifacts.find(source.job_id, number, path)
    if found is None:
        raise NotFound(f"Attempt {number} of job {source.job_id} left no file {path[:200]!r}.")
    body = ports.artifacts.open(source.job_id, number, path)
    first = await anext(body, b"")  # raises before the headers are sent, not after
    headers = {**SAFE_HEADERS, "Content-Length": str(found.size), "Content-Disposition": "attachment"}
    return StreamingResponse(joined(first, body), headers=headers, media_type="application/octet-stream")


async def _running(ports: AttemptPorts, job_id: str, attempt: int) -> Job:
    job = await recorded(ports, job_id)
    if any(tried.number == attempt and tried.outcome is not None for tried in job.attempts):
        raise InvalidState(f"Attempt {attempt} of job {job_id} has ended: it needs no files any more.")
    return job


async def _source(ports: AttemptPorts, job: Job, wanted: InputFiles) -> tuple[Job, int]:
    """A deployment names its build by its id only: what ran last of it is meant."""
    if wanted.job is None or (wanted.attempt is None and deployment_of(job) is None):
        raise NotFound("It was never found out which job is meant.")
    source = await ports.reader.get(wanted.job)
    require_artifacts(source, ports.clock())
    if wanted.attempt is not None:
        return source, wanted.attempt
    of_another = source.labels.get(SERVICE_LABEL) != job.labels.get(SERVICE_LABEL)
    if deployment_of(source) is None or of_another or source.status is not JobStatus.SUCCESS or not source.attempts:
        raise NotFound(f"Job {wanted.job} is none that a deployment of the same service ran, and that succeeded.")
    return source, source.attempts[-1].number


def _is_meant(wanted: InputFiles, path: str) -> bool:
    try:
        return bool(wanted.chosen([path]))
    except ValueError:
        return False


async def _chosen(ports: AttemptPorts, job: Job, wanted: InputFiles) -> list[ArtifactRef]:
    source, number = await _source(ports, job, wanted)
    there = {ref.path: ref for ref in await ports.artifacts.list(source.job_id, number)}
    return [there[path] for path in await asyncio.to_thread(wanted.chosen, sorted(there))]


def _file(index: int, wanted: InputFiles, ref: ArtifactRef) -> InputFile:
    to = f"{wanted.path}/{ref.path}" if wanted.path else ref.path
    return InputFile(index=index, path=ref.path, to=to, size=ref.size, sha256=ref.sha256, executable=ref.executable)
