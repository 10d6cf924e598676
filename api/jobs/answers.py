"""Answers with a job's record, which lists may be asked for, and commands to a job's workflow."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from api.auth.idempotency import REPLAY_HEADER
from api.http.accepted import ACCEPTED
from api.http.answers import PageQuery, json_answer, pending_headers
from api.jobs.ports import JobPorts
from api.jobs.schemas import job_json
from api.jobs.service import Submitted
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.fields import Name, ShortLine
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus


class DeadLetterQuery(PageQuery):
    """Which dead letters a list shows."""

    agent_id: ShortLine | None = None
    pool: Name | None = None
    job_type: ShortLine | None = None


class JobListQuery(DeadLetterQuery):
    """Which jobs a list shows."""

    status: JobStatus | None = None


Listing = Annotated[JobListQuery, Query()]
DeadLetterListing = Annotated[DeadLetterQuery, Query()]


async def answer_job(ports: JobPorts, job: Job, *, recorded: bool = True) -> Response:
    """A job's record, and what it waits for; ``recorded`` False: what its workflow has is shown in its place."""
    body = job_json(job, await ports.fleet.waits_for(job))
    return json_answer(body, headers=pending_headers(recorded=recorded))


async def answer_submitted(ports: JobPorts, submitted: Submitted) -> Response:
    """201 for a job that was created, 200 for one that was there."""
    headers = {"Location": f"/api/dashboard/jobs/{submitted.job.job_id}"}
    if submitted.replayed:
        headers[REPLAY_HEADER] = "true"
    body = job_json(submitted.job, await ports.fleet.waits_for(submitted.job))
    return json_answer(body, 201 if submitted.created else 200, headers)


async def told(ports: JobPorts, job_id: str, command: Callable[[], Awaitable[Job]]) -> Job:
    """The record after a command to the job's workflow.

    Raises NotFound when there is no job, InvalidState when its workflow has ended, and what the command raises.
    """
    try:
        return await command()
    except NotFound:
        job = await ports.reader.get(job_id)
        if job.status.final:
            what_next = f"has ended ({job.status}) and cannot be changed; POST …/{job_id}/retry runs it again."
        else:
            what_next = "lost its workflow to somebody's hand; POST /api/queue/maintenance/requeue-expired closes it."
        raise InvalidState(f"Job {job_id} {what_next}") from None


def job_responses(created: bool = False) -> dict[int | str, dict[str, Any]]:
    """The documented success answers of a route to a job's workflow; ``created``: of one that creates."""
    replay = {"description": f"The same request was made before with this key: the same job. {REPLAY_HEADER}: true."}
    return ACCEPTED | ({200: replay} if created else {})
