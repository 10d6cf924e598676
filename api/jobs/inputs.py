"""Whose artifacts a job gets: which job is meant, and whether the caller may read it.

It is decided once, by the rights of whoever submits the job, runs it again, or changes what it runs; the record says
which attempt it is. So nobody's steps see files that they could not download themselves. A job out of reach is told in
the same words as one that is not there. Deliberately not here: handing the files to an agent (``api.attempts``).
"""

from typing import Final

from api.auth.principal import Principal
from api.auth.reach import jobs_within
from api.auth.resources import job_resource
from api.jobs.ports import JobPorts
from api.logs.removed import require_artifacts
from workflows.contracts.access import Operation
from workflows.contracts.errors import FieldError, NotFound, RemovedByPolicy, ValidationFailed
from workflows.contracts.ids import is_uuid
from workflows.contracts.jobs import SERVICE_LABEL, Job, JobSpec
from workflows.contracts.records import JobQuery
from workflows.contracts.statuses import JobStatus
from workflows.contracts.workspace.inputs import InputFiles

_MOST_PAGES: Final = 5


async def with_inputs(ports: JobPorts, caller: Principal, spec: JobSpec, *, inside: str = "") -> JobSpec:
    """The specification with the attempts that its inputs mean. Raises ValidationFailed, Unavailable."""
    if not spec.inputs:
        return spec
    found = list[InputFiles]()
    errors = list[FieldError]()
    for index, wanted in enumerate(spec.inputs):
        meant = await _meant(ports, caller, wanted, spec.git_repo, spec.labels.get(SERVICE_LABEL))
        if isinstance(meant, str):
            errors.append(FieldError(field=f"{inside}inputs.{index}", message=meant))
        else:
            found.append(meant)
    if errors:
        raise ValidationFailed("Not all inputs of the job can be had.", errors)
    return spec.model_copy(update={"inputs": found})


async def require_inputs(ports: JobPorts, caller: Principal, job: Job) -> None:
    """Before somebody else decides what runs beside these files. Raises ValidationFailed, Unavailable."""
    errors = [
        FieldError(field=f"inputs.{index}", message=meant)
        for index, wanted in enumerate(job.inputs)
        if isinstance(meant := await _meant(ports, caller, wanted, job.git_repo, job.labels.get(SERVICE_LABEL)), str)
    ]
    if errors:
        raise ValidationFailed("The job gets files of jobs that you may not read.", errors)


async def _meant(
    ports: JobPorts, caller: Principal, wanted: InputFiles, git_repo: str, service: str | None
) -> InputFiles | str:
    """With the job and its attempt; or why there is none, in words."""
    job_id = wanted.job
    if job_id is None:
        newest = await _newest(ports, caller, wanted, git_repo, service)
        if newest is None:
            kind = f" of type {wanted.job_type}" if wanted.job_type else ""
            whose = f"of service {service}" if service else "without a service"
            return f"there is no job{kind} {whose} of branch {wanted.branch} that succeeded and that you may read"
        job_id = newest
    job = await _readable(ports, caller, job_id)
    if job is None:
        return f"there is no job {job_id} that you may read: give the whole id"
    if not job.status.final or not job.attempts:
        return f"job {job_id} is {job.status}: it has to end before its files can be had"
    try:
        require_artifacts(job, ports.clock())
    except RemovedByPolicy as error:
        return error.message
    return wanted.model_copy(update={"job": job_id, "attempt": wanted.attempt or job.attempts[-1].number})


async def _readable(ports: JobPorts, caller: Principal, job_id: str) -> Job | None:
    if not is_uuid(job_id):
        return None
    try:
        job = await ports.reader.get(job_id)
    except NotFound:
        return None
    resource = job_resource(job)
    may = caller.unlimited(Operation.READ) or caller.may(Operation.READ, service=resource.service, pool=resource.pool)
    return job if may else None


async def _newest(
    ports: JobPorts, caller: Principal, wanted: InputFiles, git_repo: str, service: str | None
) -> str | None:
    """Of the same service, or of none where the job has none: repository, branch and type are a submitter's word."""
    repository = wanted.repository or git_repo
    query = JobQuery(
        status=JobStatus.SUCCESS, branch=wanted.branch, repository=repository, job_type=wanted.job_type, limit=20
    )
    for _ in range(_MOST_PAGES):
        page = jobs_within(caller, await ports.reader.list(query))
        found = next((each for each in page.items if each.service == service), None)
        if found is not None:
            return found.job_id
        if page.next_cursor is None:
            return None
        query = query.model_copy(update={"cursor": page.next_cursor})
    return None
