"""Creating jobs: one, many, or again from one that ended. Both the jobs and the queue routes end here."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from api.auth.guard import require
from api.auth.idempotency import fingerprint, id_for, require_same
from api.auth.origin import Origin
from api.http.accepted import accepted_answer
from api.http.errors import problem_body, status_of
from api.http.problems import Problem
from api.jobs.free_jobs import require_free, require_free_again, require_pools
from api.jobs.inputs import with_inputs
from api.jobs.ports import JobPorts
from api.jobs.schemas import Batch, BatchItem, BatchResult, job_fields, require_all_plain, require_plain
from api.temporal.recorded import earlier_job, seen_job
from workflows.client.answers import ANSWERED_WITHIN_SECONDS
from workflows.contracts.accepted import Accepted, Taken
from workflows.contracts.access import Operation
from workflows.contracts.commands import JobInput, Redrive
from workflows.contracts.errors import HybridCIError, InvalidState, NotFound, Unavailable, ValidationFailed
from workflows.contracts.jobs import SERVICE_LABEL, Job, JobSpec, spec_of
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus
from workflows.job.record import as_accepted, deployment_of, moved_by_its_deployment

logger = logging.getLogger(__name__)
_SUBMIT: Final = "submit"
_SURELY_STORED_BYTES: Final = 64 * 1024
"""A larger record may be refused by its store (400 KB an item in DynamoDB): it is created before the job starts."""
_CREATED_WITHIN_SECONDS: Final = 3.0
"""A store that hangs: after this the workflow is asked, which goes on trying when the request has its answer."""
_PARALLEL: Final = 10
"""Jobs of one batch that are started at a time: Temporal starts them faster than one by one, without a flood."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission.

    ``created``: there is a new job. ``replayed``: an earlier request with the same key created it.
    """

    job: Job
    created: bool = False
    replayed: bool = False


async def submit_one(ports: JobPorts, origin: Origin, spec: JobSpec, key: str | None) -> Submitted:
    """Start a job, or find the one this key stands for.

    Raises Conflict, ValidationFailed, Unavailable, ApiError forbidden for a service or pool out of reach, and Accepted
    when the job is started but cannot be recorded now.
    """
    require_plain(spec)
    require_free([spec], prefix=None)
    _require_reach(origin, spec)
    require_pools(ports, [spec], prefix=None)
    digest = None if key is None else fingerprint("job", spec)
    job = _input(id_for(origin.caller, key), spec, origin, digest)
    return await _started(ports, origin, job, _answered_by())


async def submit_batch(ports: JobPorts, origin: Origin, batch: Batch, key: str | None, request_id: str) -> BatchResult:
    """Start several. All are valid by now; one that fails for another reason does not stop the others."""
    require_all_plain(batch.items, prefix="items")
    require_free(batch.items, prefix="items")
    for spec in batch.items:
        _require_reach(origin, spec)
    require_pools(ports, batch.items, prefix="items")
    digest = None if key is None else fingerprint("batch", batch)
    ids = [id_for(origin.caller, key, part=index) for index in range(len(batch.items))]
    first = None if digest is None else await earlier_job(ports, ids[0], unrecorded=True)
    if first is not None:  # another batch under this key must start nothing
        require_same(first.record.fingerprint, digest, what=f"job {first.record.job_id}")
    else:  # nor a batch of which one has no files to begin with
        for index, spec in enumerate(batch.items):
            await with_inputs(ports, origin.caller, spec, inside=f"items.{index}.")
    inputs = [_input(job_id, spec, origin, digest) for job_id, spec in zip(ids, batch.items, strict=True)]
    slots, until = asyncio.Semaphore(_PARALLEL), _answered_by()

    async def start(index: int) -> BatchItem:
        async with slots:
            try:
                submitted = await _started(ports, origin, inputs[index], until)
            except Accepted as accepted:
                job = accepted_answer(
                    accepted, job=None if accepted.taken.job is None else job_fields(accepted.taken.job)
                ).job
                return BatchItem(index=index, status=status_of(accepted.code), job=job)
            except HybridCIError as error:
                body = problem_body(error.code, error.message, request_id=request_id)
                return BatchItem(index=index, status=status_of(error.code), error=Problem.model_validate(body))
        return BatchItem(
            index=index,
            status=201 if submitted.created else 200,
            job=job_fields(submitted.job, await ports.fleet.waits_for(submitted.job)),
        )

    items = await asyncio.gather(*(start(index) for index in range(len(inputs))))
    return BatchResult(
        created=sum(item.status == 201 for item in items),
        replayed=sum(item.status == 200 for item in items),
        accepted=sum(item.status == 202 for item in items),
        failed=sum(item.error is not None for item in items),
        items=items,
    )


async def retry(ports: JobPorts, origin: Origin, job_id: str, key: str | None) -> Submitted:
    """Run an ended job again: a dead letter is redriven, any other becomes a new job with ``retry_of``.

    Raises NotFound, InvalidState while the job has not ended, and what ``submit_one`` raises.
    """
    job = (await seen_job(ports, job_id)).record
    if deployment_of(job) is not None and job.status is not JobStatus.DEAD_LETTERED:
        raise InvalidState(moved_by_its_deployment(job))
    again = await _redriven(ports, origin, job, key)
    if again is not None:
        return again
    if not job.status.ended:
        raise InvalidState(f"Job {job_id} is {job.status}; only an ended job can be run again: cancel it first.")
    try:
        spec = spec_of(job)
    except ValidationError as error:
        raise InvalidState(
            f"Job {job_id} was accepted under older rules ({error.error_count()} fields fail now): submit it anew."
        ) from error
    require_free_again(job, spec)
    require_pools(ports, [spec], prefix=None)
    digest = None if key is None else fingerprint(f"retry {job_id}", spec)
    again_as = _input(id_for(origin.caller, key), spec, origin, digest, retry_of=job_id)
    return await _started(ports, origin, again_as, _answered_by())


async def _redriven(ports: JobPorts, origin: Origin, job: Job, key: str | None) -> Submitted | None:
    """The job, when it is a dead letter, or was one when a request with this key redrove it; else None."""
    parked = job.status is JobStatus.DEAD_LETTERED
    if parked:  # what redriving it asks for by its own route
        require(origin.caller, Operation.JOBS_OPERATE, service=job.labels.get(SERVICE_LABEL), pool=job.pool)
    if not parked and key is None:
        return None
    update_id = None if key is None else id_for(origin.caller, key)
    try:
        record = await ports.job_client.redrive(job.job_id, Redrive(**origin.fields()), update_id)
    except (InvalidState, NotFound):
        if parked:
            raise
        return None  # Temporal knows no redrive of this id
    return Submitted(record, replayed=not parked)


def _require_reach(origin: Origin, spec: JobSpec) -> None:
    require(origin.caller, Operation.JOBS_SUBMIT, service=spec.labels.get(SERVICE_LABEL), pool=spec.pool)


def _input(job_id: str, spec: JobSpec, origin: Origin, digest: str | None, retry_of: str | None = None) -> JobInput:
    return JobInput(
        job_id=job_id,
        spec=spec,
        created_by=origin.caller.id,
        via=origin.via,
        address=origin.address,
        role=origin.caller.role,
        fingerprint=digest,
        retry_of=retry_of,
    )


def _answered_by() -> float:
    """When a request is answered at the latest once its job is started, by the loop's time."""
    return asyncio.get_running_loop().time() + ANSWERED_WITHIN_SECONDS


async def _started(ports: JobPorts, origin: Origin, job: JobInput, until: float) -> Submitted:
    """The job that the request's key stands for; else a new one, for which alone its inputs are looked for."""
    if job.fingerprint is not None:
        known = await earlier_job(ports, job.job_id)
        if known is not None:
            require_same(known.record.fingerprint, job.fingerprint, what=f"job {job.job_id}")
            if not known.recorded:
                raise Accepted(Taken(asked=_SUBMIT, job_id=job.job_id, job=known.record, replayed=True))
            return Submitted(known.record, replayed=True)
    try:
        spec = await with_inputs(ports, origin.caller, job.spec)
    except ValidationFailed:
        if job.fingerprint is None or await earlier_job(ports, job.job_id, unrecorded=True) is None:
            raise
        spec = job.spec  # of a job that is started and not recorded yet, which is found below
    return await _accept(ports, job.model_copy(update={"spec": spec}), until)


async def _accept(ports: JobPorts, job: JobInput, until: float) -> Submitted:
    """Start the job and create its record, so that neither waits for the other.

    The workflow first: there is never a record without one, and one that nobody created is created by the workflow, as
    soon as something happens to the job or anybody misses it. Of several requests with one key at the same moment,
    Temporal lets one start it: that one has created the job. Raises Accepted when no record comes by ``until``.
    """
    now = ports.clock()
    if len(job.spec.model_dump_json().encode()) > _SURELY_STORED_BYTES:
        creation, created = None, await ports.job_client.begin(job)
    else:
        creation = await ports.job_client.start(job, now)
        created = creation is not None
    try:
        async with asyncio.timeout_at(until):
            if creation is not None and await _recorded_here(ports, creation):
                return Submitted(creation.job, created=True)
            record = await ports.job_client.created(job.job_id)
    except (Unavailable, TimeoutError) as error:
        if created:
            known = as_accepted(job, now) if creation is None else creation.job
        else:
            known = await ports.job_client.known(job.job_id)
            require_same(known.fingerprint, job.fingerprint, what=f"job {job.job_id}")
        raise Accepted(Taken(asked=_SUBMIT, job_id=job.job_id, job=known, replayed=not created)) from error
    require_same(record.fingerprint, job.fingerprint, what=f"job {job.job_id}")
    return Submitted(record, created=created, replayed=not created)


async def _recorded_here(ports: JobPorts, creation: JobWrite) -> bool:
    """False: the workflow is to create the record."""
    try:
        async with asyncio.timeout(_CREATED_WITHIN_SECONDS):
            await ports.creator.create(creation)
    except (HybridCIError, TimeoutError) as error:
        extra = {"job_id": creation.job.job_id, "because": str(error) or "the store did not answer"}
        logger.warning("the workflow creates the record", extra=extra)
        return False
    return True
