"""The queue's view of jobs, and its upkeep. The same jobs as ``jobs``; dead letters have their own module."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from activities.events.trail import noted
from api.auth.idempotency import IdempotencyKey
from api.auth.origin import CommandOriginDep, OriginDep, signed
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.errors import request_id_of
from api.http.ids import JobId
from api.jobs.answers import answer_job, job_responses, told
from api.jobs.commands import PriorityRequest
from api.jobs.ports import JobPortsDep
from api.jobs.routes.jobs import cancel, get_job, list_jobs, submit_job
from api.jobs.schemas import Batch, BatchResult, JobOut
from api.jobs.service import submit_batch
from workflows.contracts.audit.types import EventType
from workflows.contracts.base import Frozen
from workflows.contracts.commands import Amend, Cancel, ReconcileResult
from workflows.contracts.records import JobPage, QueueHistory, QueueStats

router = APIRouter(prefix="/api/queue", tags=["queue"])

router.post(
    "/jobs",
    name="enqueue_job",
    status_code=201,
    response_model=JobOut,
    responses=job_responses(created=True),
    summary="Enqueue a job",
)(submit_job)
router.get("/jobs", name="list_queue_jobs", response_model=JobPage, summary="List jobs, newest first")(list_jobs)
router.get("/jobs/{job_id}", name="get_queue_job", response_model=JobOut, summary="Show a job")(get_job)


@router.post("/jobs/batch", status_code=207, response_model=BatchResult, summary="Enqueue up to 100 jobs")
async def submit_jobs(
    request: Request,
    batch: Annotated[Batch, Depends(json_body(Batch))],
    ports: JobPortsDep,
    origin: OriginDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """All are checked before any is started: a bad field refuses the whole batch (422, ``items.3.git_repo``)."""
    result = await submit_batch(ports, origin, batch, idempotency_key, request_id_of(request))
    return json_answer(result.model_dump_json().encode(), 207)


@router.patch(
    "/jobs/{job_id}/priority",
    response_model=JobOut,
    responses=job_responses(),
    summary="Change a queued job's place in line",
)
async def set_priority(
    job_id: JobId,
    request: Annotated[PriorityRequest, Depends(json_body(PriorityRequest))],
    ports: JobPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Possible until an agent has the job."""
    amend = signed(Amend, request, origin)
    job = await told(ports, job_id, lambda: ports.job_client.amend(job_id, amend, origin.update_id(amend)))
    return await answer_job(ports, job)


@router.delete("/jobs/{job_id}", response_model=JobOut, responses=job_responses(), summary="Cancel a job")
async def delete_job(job_id: JobId, ports: JobPortsDep, origin: CommandOriginDep) -> Response:
    """Takes the job from the queue or stops it; its record stays."""
    return await answer_job(ports, await cancel(ports, job_id, Cancel(**origin.fields()), origin))


@router.get("/stats", response_model=QueueStats, summary="The queue in numbers")
async def queue_stats(ports: JobPortsDep) -> Response:
    """Counters and times since the beginning; the cost does not grow with the number of jobs."""
    return json_answer((await ports.reader.queue_stats()).model_dump_json().encode())


class HistoryQuery(Frozen):
    """Of how long."""

    hours: Annotated[int, Field(ge=1, le=168, description="How many, the present one with them.")] = 24


@router.get("/history", response_model=QueueHistory, summary="The queue by the hour")
async def queue_history(ports: JobPortsDep, wanted: Annotated[HistoryQuery, Query()]) -> Response:
    """Jobs created, succeeded and failed in each of the last hours (UTC), how long they waited and how many were open.

    From counters: the cost does not grow with the number of jobs.
    """
    return json_answer((await ports.reader.history(wanted.hours)).model_dump_json().encode())


@router.post("/maintenance/requeue-expired", response_model=ReconcileResult, summary="Compare records with workflows")
async def requeue_expired(ports: JobPortsDep, origin: OriginDep) -> Response:
    """Workflows requeue lapsed leases themselves; this closes records whose workflow was ended behind our back."""
    words = "Open records were compared with their workflows"
    await ports.audit.append(noted(EventType.JOBS_RECONCILED, origin.who(), ports.clock(), words))
    return json_answer((await ports.job_client.reconcile()).model_dump_json().encode())
