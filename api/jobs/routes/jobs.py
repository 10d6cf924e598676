"""Jobs: submit, list, look at, change, stop, run again. Reads come from the records, changes go to the workflow."""

import asyncio
import logging
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth.guard import Caller
from api.auth.idempotency import IdempotencyKey
from api.auth.origin import CommandOriginDep, Origin, OriginDep, signed
from api.auth.reach import jobs_within, require_destination
from api.http.answers import Paging, json_answer
from api.http.bodies import json_body
from api.http.ids import JobId
from api.jobs.answers import Listing, answer_job, answer_submitted, job_responses, told
from api.jobs.commands import AmendRequest, CancelRequest, CompleteRequest
from api.jobs.free_jobs import require_free_change
from api.jobs.inputs import require_inputs
from api.jobs.log_sizes import with_log_sizes
from api.jobs.ports import JobPorts, JobPortsDep
from api.jobs.schemas import JobOut, page_json
from api.jobs.service import retry, submit_one
from api.temporal.recorded import seen_job
from workflows.contracts.commands import Amend, Cancel, Complete
from workflows.contracts.errors import InvalidState, Unavailable
from workflows.contracts.fields import ShortLine
from workflows.contracts.jobs import Job, JobSpec
from workflows.contracts.records import JobPage
from workflows.contracts.statuses import JobStatus

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/api/dashboard/jobs", tags=["jobs"])
_LEASE_WAIT_SECONDS: Final = 2
"""A job is shown without its lease rather than late."""


@router.post("", status_code=201, response_model=JobOut, responses=job_responses(created=True), summary="Submit a job")
async def submit_job(
    spec: Annotated[JobSpec, Depends(json_body(JobSpec))],
    ports: JobPortsDep,
    origin: OriginDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Start a job. 201: it is durably started and its record can be read. 202: it is, and its record follows."""
    return await answer_submitted(ports, await submit_one(ports, origin, spec, idempotency_key))


@router.get("", response_model=JobPage, summary="List jobs, newest first")
async def list_jobs(listing: Listing, ports: JobPortsDep, caller: Caller) -> Response:
    """One page. A page can be short while there are more: go on until ``next_cursor`` is null. ``stopped_early`` says
    that ``looked_at`` jobs were looked at, which is as many as one page may.
    """
    return json_answer(page_json(jobs_within(caller, await ports.reader.list(listing.query(listing.status)))))


@router.get("/running", response_model=JobPage, summary="List the jobs that agents work on")
async def list_running_jobs(paging: Paging, ports: JobPortsDep, caller: Caller) -> Response:
    """Newest first."""
    return json_answer(page_json(jobs_within(caller, await ports.reader.running(paging.limit, paging.cursor))))


@router.get("/agent/{agent_id}", response_model=JobPage, summary="List the jobs of one agent")
async def list_jobs_of_agent(agent_id: ShortLine, paging: Paging, ports: JobPortsDep, caller: Caller) -> Response:
    """The jobs whose latest attempt this agent ran, newest first."""
    return json_answer(
        page_json(jobs_within(caller, await ports.reader.by_agent(agent_id, paging.limit, paging.cursor)))
    )


@router.get("/{job_id}", response_model=JobOut, summary="Show a job")
async def get_job(job_id: JobId, ports: JobPortsDep) -> Response:
    """The record; for a running job with the moment its lease lapses, fresh from Temporal.

    An accepted job that the store has not taken yet is shown as its workflow has it; ``Record-Pending: true`` then.
    """
    seen = await seen_job(ports, job_id)
    job = await with_log_sizes(ports.logs, await _with_lease(ports, seen.record))
    return await answer_job(ports, job, recorded=seen.recorded)


@router.patch(
    "/{job_id}",
    response_model=JobOut,
    responses=job_responses(),
    summary="Change a job's priority, pool, labels or tags",
)
async def amend_job(
    job_id: JobId,
    request: Annotated[AmendRequest, Depends(json_body(AmendRequest))],
    ports: JobPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Priority and pool can be changed until an agent has the job, labels and tags until it ends."""
    amend = signed(Amend, request, origin)
    await require_destination(ports, origin.caller, job_id, pool=amend.pool, labels=amend.labels)
    await require_free_change(ports, job_id, pool=amend.pool, labels=amend.labels)
    if amend.pool is not None:
        await require_inputs(ports, origin.caller, (await seen_job(ports, job_id)).record)
    job = await told(ports, job_id, lambda: ports.job_client.amend(job_id, amend, origin.update_id(amend)))
    return await answer_job(ports, job)


@router.patch(
    "/{job_id}/complete", response_model=JobOut, responses=job_responses(), summary="Record a result found outside"
)
async def complete_job(
    job_id: JobId,
    request: Annotated[CompleteRequest, Depends(json_body(CompleteRequest))],
    ports: JobPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """Another CI or an operator knows how it ended: what still runs is stopped and this becomes the result."""
    complete = signed(Complete, request, origin)
    update_id = origin.update_id(complete)
    job = await told(ports, job_id, lambda: ports.job_client.complete(job_id, complete, update_id))
    return await answer_job(ports, job)


@router.post("/{job_id}/cancel", response_model=JobOut, responses=job_responses(), summary="Cancel a job")
async def cancel_job(
    job_id: JobId,
    request: Annotated[CancelRequest, Depends(json_body(CancelRequest, optional=True))],
    ports: JobPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """A queued job ends at once, a running one within 2 s and its 10 s grace. Cancelling it again is no error."""
    return await answer_job(ports, await cancel(ports, job_id, signed(Cancel, request, origin), origin))


@router.post(
    "/{job_id}/retry",
    status_code=201,
    response_model=JobOut,
    responses=job_responses(created=True),
    summary="Run again",
)
async def retry_job(
    job_id: JobId, ports: JobPortsDep, origin: OriginDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """An ended job becomes a new one (201) that names it in ``retry_of``; a dead letter is redriven itself (200)."""
    return await answer_submitted(ports, await retry(ports, origin, job_id, idempotency_key))


async def cancel(ports: JobPorts, job_id: str, request: Cancel, origin: Origin) -> Job:
    """Cancel; a job that is cancelled already is returned as it is. Raises NotFound, InvalidState."""
    try:
        return await told(ports, job_id, lambda: ports.job_client.cancel(job_id, request, origin.update_id(request)))
    except InvalidState:
        job = await ports.reader.get(job_id)
        if job.status is JobStatus.CANCELLED:
            return job
        raise


async def _with_lease(ports: JobPorts, job: Job) -> Job:
    if job.status is not JobStatus.RUNNING:
        return job
    try:
        lease = await asyncio.wait_for(ports.job_client.lease_expires_at(job.job_id), _LEASE_WAIT_SECONDS)
    except (Unavailable, TimeoutError):
        logger.info("lease not refreshed: Temporal does not answer", extra={"job_id": job.job_id})
        return job
    return job if lease is None else job.model_copy(update={"lease_expires_at": lease})
