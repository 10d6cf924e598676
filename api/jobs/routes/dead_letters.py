"""Dead letters: jobs whose budget is used up, parked until somebody edits, redrives or discards them."""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from activities.events.trail import noted
from api.auth.guard import Caller, require_everywhere
from api.auth.idempotency import REPLAY_HEADER, IdempotencyKey, fingerprint, id_for, require_same
from api.auth.origin import CommandOriginDep, OriginDep, signed
from api.auth.principal import Principal
from api.auth.reach import jobs_within, require_destination, require_submission
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.ids import JobId, RedriveId
from api.jobs.answers import DeadLetterChoice, DeadLetterListing, answer_job, job_responses, told
from api.jobs.causes import DeadLetterCauses, causes_of
from api.jobs.commands import (
    BulkRedriveRequest,
    BulkRedriveStarted,
    DiscardRequest,
    EditRequest,
    RedriveRequest,
)
from api.jobs.free_jobs import require_free_change, require_free_edits
from api.jobs.inputs import require_inputs
from api.jobs.ports import JobPorts, JobPortsDep
from api.jobs.schemas import JobOut, page_json
from api.temporal.recorded import seen_job
from workflows.client.answers import ANSWERED_WITHIN_SECONDS
from workflows.contracts.access import Operation
from workflows.contracts.audit.details import JobsBulkRedriven
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.commands import BulkRedrive, BulkRedriveProgress, Discard, Edit, Redrive
from workflows.contracts.errors import NotFound, Unavailable
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobPage
from workflows.contracts.statuses import JobStatus
from workflows.contracts.who import WhoAndWhy

router = APIRouter(prefix="/api/queue/dead-letters", tags=["dead letters"])
RedriveBody = Annotated[RedriveRequest, Depends(json_body(RedriveRequest, optional=True))]


@router.get("", response_model=JobPage, summary="List dead letters, newest first")
async def list_dead_letters(listing: DeadLetterListing, ports: JobPortsDep, caller: Caller) -> Response:
    """Those still parked; a redriven or discarded one is an ordinary job again."""
    page = await ports.reader.list(listing.query(JobStatus.DEAD_LETTERED))
    return json_answer(page_json(jobs_within(caller, page)))


@router.get("/causes", response_model=DeadLetterCauses, summary="Count dead letters by cause")
async def list_causes(chosen: DeadLetterChoice, ports: JobPortsDep, caller: Caller) -> Response:
    """The most frequent cause first. Of many dead letters the newest are looked at: ``stopped_early`` says so."""
    causes = await causes_of(ports.reader, chosen.query(JobStatus.DEAD_LETTERED), partial(jobs_within, caller))
    return json_answer(causes.model_dump_json().encode())


@router.post("/redrive", status_code=202, response_model=BulkRedriveStarted, summary="Redrive many")
async def redrive_many(
    request: Annotated[BulkRedriveRequest, Depends(json_body(BulkRedriveRequest, optional=True))],
    ports: JobPortsDep,
    origin: OriginDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """By filter, oldest first; with ``canary`` a few go first, and the rest only when these succeed."""
    bulk = signed(BulkRedrive, request, origin)
    require_free_edits(ports, bulk.edit)
    if bulk.edit is not None and bulk.edit.may_run_something_else:
        require_everywhere(origin.caller, Operation.JOBS_SUBMIT)
    digest = fingerprint("redrive", request) if idempotency_key is not None else None
    redrive_id = id_for(origin.caller, idempotency_key)
    words = f"Dead letters are redriven in bulk, at most {bulk.limit}"
    asked = WhoAndWhy(**bulk.who().model_dump(), reason=bulk.reason)
    what, event_id = JobsBulkRedriven(redrive_id=redrive_id), f"redrive-{redrive_id}"
    # Before it starts, so that none is missing; under its own id, so that a repeated request is one event.
    await _keep(ports, noted(what, asked, ports.clock(), words, event_id=event_id))
    earlier = await ports.job_client.start_bulk_redrive(redrive_id, bulk, fingerprint=digest)
    headers = {"Location": f"{router.prefix}/redrives/{redrive_id}"}
    if earlier is not None:
        require_same(earlier, digest, what=f"bulk redrive {redrive_id}")
        headers[REPLAY_HEADER] = "true"
    started = BulkRedriveStarted(redrive_id=redrive_id, url=headers["Location"])
    return json_answer(started.model_dump_json().encode(), 202, headers)


@router.get("/redrives/{redrive_id}", response_model=BulkRedriveProgress, summary="How far a bulk redrive is")
async def redrive_progress(redrive_id: RedriveId, ports: JobPortsDep) -> Response:
    """By the id that starting it answered."""
    try:
        progress = await ports.job_client.bulk_redrive_progress(redrive_id)
    except NotFound:
        raise NotFound(f"There is no bulk redrive {redrive_id}.") from None
    return json_answer(progress.model_dump_json().encode())


@router.get("/{job_id}", response_model=JobOut, summary="Show a dead letter")
async def get_dead_letter(job_id: JobId, ports: JobPortsDep) -> Response:
    """404 when the job is not parked."""
    return await answer_job(ports, await _parked(ports, job_id))


@router.patch("/{job_id}", response_model=JobOut, responses=job_responses(), summary="Edit a dead letter")
async def edit_dead_letter(
    job_id: JobId,
    request: Annotated[EditRequest, Depends(json_body(EditRequest))],
    ports: JobPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """It stays parked; the changes count from its next redrive."""
    edit = signed(Edit, request, origin)
    await _require_edit(ports, origin.caller, job_id, edit)
    job = await told(ports, job_id, lambda: ports.job_client.edit(job_id, edit, origin.update_id(edit)))
    return await answer_job(ports, job)


@router.post(
    "/{job_id}",
    name="redrive_dead_letter_itself",
    response_model=JobOut,
    responses=job_responses(),
    summary="Redrive a dead letter",
)
@router.post("/{job_id}/redrive", response_model=JobOut, responses=job_responses(), summary="Redrive a dead letter")
async def redrive_dead_letter(
    job_id: JobId, request: RedriveBody, ports: JobPortsDep, origin: CommandOriginDep
) -> Response:
    """Run it again with fresh budgets, after the changes of ``edit``."""
    redrive = signed(Redrive, request, origin)
    if redrive.edit is not None:
        await _require_edit(ports, origin.caller, job_id, redrive.edit, inside="edit.")
    update_id = origin.update_id(redrive)
    job = await told(ports, job_id, lambda: ports.job_client.redrive(job_id, redrive, update_id))
    return await answer_job(ports, job)


@router.delete("/{job_id}", response_model=JobOut, responses=job_responses(), summary="Discard a dead letter")
async def discard_dead_letter(
    job_id: JobId,
    request: Annotated[DiscardRequest, Depends(json_body(DiscardRequest, optional=True))],
    ports: JobPortsDep,
    origin: CommandOriginDep,
) -> Response:
    """It gets the final status of its cause; its record stays."""
    discard = signed(Discard, request, origin)
    update_id = origin.update_id(discard)
    job = await told(ports, job_id, lambda: ports.job_client.discard(job_id, discard, update_id))
    return await answer_job(ports, job)


async def _require_edit(ports: JobPorts, caller: Principal, job_id: str, edit: Edit, *, inside: str = "") -> None:
    """Raises ApiError forbidden, ValidationFailed, NotFound, Unavailable."""
    await require_destination(ports, caller, job_id, pool=edit.pool)
    if edit.may_run_something_else:
        await require_submission(ports, caller, job_id, pool=edit.pool)
    if edit.may_run_something_else or edit.pool is not None:
        await require_inputs(ports, caller, (await seen_job(ports, job_id)).record)
    await require_free_change(ports, job_id, pool=edit.pool, env=edit.env, steps=edit.steps, inside=inside)


async def _parked(ports: JobPorts, job_id: str) -> Job:
    job = (await seen_job(ports, job_id)).record
    if job.status is not JobStatus.DEAD_LETTERED:
        raise NotFound(
            f"Job {job_id} is no dead letter: it is {job.status}. Look at it: `hybridci job show {job_id}`, GET "
            f"/api/dashboard/jobs/{job_id}."
        )
    return job


async def _keep(ports: JobPorts, event: AuditEvent) -> None:
    """Raises Unavailable, also when the store does not answer: nothing is started then."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_SECONDS):
            await ports.audit.append(event)
    except TimeoutError as error:
        raise Unavailable("The audit trail does not answer, so nothing was started; try again.") from error
