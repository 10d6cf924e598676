"""What the routes share: answers, list parameters, and commands to a job's workflow."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Depends, Query
from fastapi.dependencies.models import Dependant
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.idempotency import REPLAY_HEADER
from api.commands.schemas.accepted import ACCEPTED
from api.deps import Services
from api.jobs.schemas import job_json
from api.jobs.service import Submitted
from workflows.contracts.base import Frozen
from workflows.contracts.errors import FieldError, InvalidState, NotFound, ValidationFailed
from workflows.contracts.fields import Name, ShortLine
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus

JSON: Final = "application/json"
PENDING_HEADER: Final = "Record-Pending"
"""On what is shown as its workflow has it, because the store has not taken its record yet."""
Limit = Annotated[int, Field(ge=1, le=100)]
Cursor = Annotated[str, Field(min_length=1, max_length=4096)]


class PageQuery(Frozen):
    """Paging: ``cursor`` is the ``next_cursor`` of the page before."""

    limit: Limit = 50
    cursor: Cursor | None = None


class DeadLetterQuery(PageQuery):
    """Which dead letters a list shows."""

    agent_id: ShortLine | None = None
    pool: Name | None = None
    job_type: ShortLine | None = None


class JobListQuery(DeadLetterQuery):
    """Which jobs a list shows."""

    status: JobStatus | None = None


Paging = Annotated[PageQuery, Query()]
Listing = Annotated[JobListQuery, Query()]
DeadLetterListing = Annotated[DeadLetterQuery, Query()]


def json_answer(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Bytes that are JSON already: FastAPI would validate and encode a model a second time."""
    return Response(content, status, headers, JSON)


async def answer_job(services: Services, job: Job, *, recorded: bool = True) -> Response:
    """A job's record, and what it waits for; ``recorded`` False: what its workflow has is shown in its place."""
    body = job_json(job, await services.fleet.waits_for(job))
    return json_answer(body, headers=pending_headers(recorded=recorded))


def pending_headers(*, recorded: bool) -> dict[str, str] | None:
    """How an answer says that nobody has recorded yet what it shows."""
    return None if recorded else {PENDING_HEADER: "true"}


async def answer_submitted(services: Services, submitted: Submitted) -> Response:
    """201 for a job that was created, 200 for one that was there."""
    headers = {"Location": f"/api/dashboard/jobs/{submitted.job.job_id}"}
    if submitted.replayed:
        headers[REPLAY_HEADER] = "true"
    body = job_json(submitted.job, await services.fleet.waits_for(submitted.job))
    return json_answer(body, 201 if submitted.created else 200, headers)


async def refuse_parameters(request: Request) -> None:
    """Refuse query parameters that would be lost in silence: given twice, or to a route that takes none.

    A route that takes some has them in a model that forbids what it does not know. Raises ValidationFailed.
    """
    if not request.scope["query_string"]:
        return
    given = [name for name, _ in request.query_params.multi_items()]
    dependant = getattr(request.scope["route"], "dependant", None)
    if isinstance(dependant, Dependant) and _takes_parameters(dependant):
        wrong, what = [name for name, count in Counter(given).items() if count > 1], "is given more than once"
    else:
        wrong, what = given, "is not a parameter of this address"
    if wrong:
        errors = [FieldError(field=name, message=what) for name in dict.fromkeys(wrong)]
        names = ", ".join(error.field for error in errors[:10])
        raise ValidationFailed(f"Correct these parameters: {names}.", errors)


def _takes_parameters(dependant: Dependant) -> bool:
    return bool(dependant.query_params) or any(_takes_parameters(inner) for inner in dependant.dependencies)


PARAMETERS: Final[Any] = Depends(refuse_parameters)


async def told(services: Services, job_id: str, command: Callable[[], Awaitable[Job]]) -> Job:
    """The record after a command to the job's workflow.

    Raises NotFound when there is no job, InvalidState when its workflow has ended, and what the command raises.
    """
    try:
        return await command()
    except NotFound:
        job = await services.reader.get(job_id)
        if job.status.final:
            what_next = f"has ended ({job.status}) and cannot be changed; POST …/{job_id}/retry runs it again."
        else:
            what_next = "lost its workflow to somebody's hand; POST /api/queue/maintenance/requeue-expired closes it."
        raise InvalidState(f"Job {job_id} {what_next}") from None


def job_responses(created: bool = False) -> dict[int | str, dict[str, Any]]:
    """The documented success answers of a route to a job's workflow; ``created``: of one that creates."""
    replay = {"description": f"The same request was made before with this key: the same job. {REPLAY_HEADER}: true."}
    return ACCEPTED | ({200: replay} if created else {})
