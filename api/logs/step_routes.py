"""``GET …/logs/steps``: where each step is in an attempt's log."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.http.answers import json_answer
from api.http.ids import JobId
from api.logs.ports import LogPortsDep
from api.logs.removed import require_log
from api.logs.steps import LogSteps, steps_of_ended, steps_of_running
from workflows.contracts.base import Frozen
from workflows.contracts.errors import NotFound

router = APIRouter(prefix="/api/dashboard/jobs", tags=["jobs"])
_BEGIN: Final = "0:0:1"


class StepsQuery(Frozen):
    """Of which attempt, and from where on."""

    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(default=None, description="Default: the last.")
    cursor: Annotated[str, Field(pattern=r"^[0-9]{1,3}:[0-9]{1,15}:[1-9][0-9]{0,14}$")] | None = Field(
        default=None, description="`next_cursor` of the request before, of an attempt that runs."
    )


@router.get("/{job_id}/logs/steps", response_model=LogSteps, summary="Find the steps in a job's log")
async def log_steps(job_id: JobId, wanted: Annotated[StepsQuery, Query()], ports: LogPortsDep) -> Response:
    """The lines of each step that has begun. While the attempt runs: the steps since ``cursor``, by the lines
    ``--- name`` that its agent writes; once it has ended: all of them, as its agent said.
    """
    job = await ports.reader.get(job_id)
    require_log(job)
    last = job.attempts[-1].number if job.attempts else 1
    number = wanted.attempt or last
    if number > last:
        raise NotFound(f"Job {job_id} has no attempt {number}: its last is {last}.")
    attempt = next((each for each in job.attempts if each.number == number), None)
    if attempt is not None and attempt.outcome is not None:
        found = await steps_of_ended(ports.logs, job_id, attempt)
    else:
        known, _, place = (wanted.cursor or _BEGIN).partition(":")
        found = await steps_of_running(ports.logs, job, number, int(known), place)
    return json_answer(found.model_dump_json().encode())
