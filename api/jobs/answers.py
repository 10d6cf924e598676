"""Answers with a job's record, which lists may be asked for, and commands to a job's workflow."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field, StringConstraints, field_validator
from starlette.responses import Response

from api.auth.idempotency import REPLAY_HEADER
from api.http.accepted import ACCEPTED
from api.http.answers import PageQuery, json_answer, pending_headers
from api.jobs.ports import JobPorts
from api.jobs.schemas import JobOut, job_json
from api.jobs.service import Submitted
from workflows.contracts.base import Frozen
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.fields import CommitStart, GitRef, JobIdStart, Line, Name, Repository, ShortLine
from workflows.contracts.jobs import Job
from workflows.contracts.records import MOST_FILTER_LABELS, JobQuery
from workflows.contracts.statuses import JobStatus

Moment = Annotated[int, Field(ge=0, lt=1 << 53)]
LabelFilter = Annotated[Line, StringConstraints(pattern=r"^[^=]+=", max_length=600)]


class DeadLetterFilters(Frozen):
    """Which dead letters are meant: those of which all this holds."""

    agent_id: ShortLine | None = None
    pool: Name | None = None
    job_type: ShortLine | None = None
    repository: Repository | None = Field(default=None, description="Any of its addresses.")
    branch: GitRef | None = Field(default=None, description="With or without `refs/heads/`.")
    commit: CommitStart | None = Field(default=None, description="The SHA, or how it begins.")
    service: Annotated[ShortLine, Field(min_length=1)] | None = Field(default=None, description="The label `service`.")
    author: Annotated[ShortLine, Field(min_length=1)] | None = Field(
        default=None, description="An address or a name, as the job has it: `ann@example.com`."
    )
    cause: ShortLine | None = Field(default=None, description="Why it ended so: `exit_code`, `agent_lost`.")
    job_id: JobIdStart | None = Field(default=None, description="How the id begins, from 4 characters on.")
    since: Moment | None = Field(default=None, description="Created then or later: epoch milliseconds.")
    until: Moment | None = Field(default=None, description="Created then or earlier: epoch milliseconds.")
    label: list[LabelFilter] = Field(
        default_factory=list[str],
        max_length=MOST_FILTER_LABELS,
        description="`name=value`, of a label that the setting `JOB_FILTER_LABELS` allows; repeatable: all must hold.",
    )

    @field_validator("label")
    @classmethod
    def _one_value_each(cls, labels: list[str]) -> list[str]:
        names = [label.partition("=")[0] for label in labels]
        if len(set(names)) < len(names):
            raise ValueError("must not name a label twice")
        return labels

    def query(self, status: JobStatus | None, **paging: Any) -> JobQuery:
        """The question to the records."""
        labels = dict(label.split("=", 1) for label in self.label)
        fields = self.model_dump(exclude={"label", "status"}) | paging
        return JobQuery(**fields, labels=labels, status=status)


class DeadLetterQuery(DeadLetterFilters, PageQuery):
    """Which dead letters a list shows."""


class JobListQuery(DeadLetterQuery):
    """Which jobs a list shows: those of which all this holds."""

    status: JobStatus | None = None


Listing = Annotated[JobListQuery, Query()]
DeadLetterChoice = Annotated[DeadLetterFilters, Query()]
DeadLetterListing = Annotated[DeadLetterQuery, Query()]


async def answer_job(ports: JobPorts, job: Job, *, recorded: bool = True) -> Response:
    """A job's record, and what it waits for; ``recorded`` False: what its workflow has is shown in its place."""
    body = job_json(job, await ports.fleet.waits_for(job), workflows=ports.temporal_workflows)
    return json_answer(body, headers=pending_headers(recorded=recorded))


async def answer_submitted(ports: JobPorts, submitted: Submitted) -> Response:
    """201 for a job that was created, 200 for one that was there."""
    headers = {"Location": f"/api/dashboard/jobs/{submitted.job.job_id}"}
    if submitted.replayed:
        headers[REPLAY_HEADER] = "true"
    body = job_json(submitted.job, await ports.fleet.waits_for(submitted.job), workflows=ports.temporal_workflows)
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
            what_next = (
                f"has ended ({job.status}) and cannot be changed; to run it again: `hybridci job retry {job_id}`, POST "
                f"/api/dashboard/jobs/{job_id}/retry."
            )
        else:
            what_next = "lost its workflow to somebody's hand; POST /api/queue/maintenance/requeue-expired closes it."
        raise InvalidState(f"Job {job_id} {what_next}") from None


def job_responses(created: bool = False) -> dict[int | str, dict[str, Any]]:
    """The documented success answers of a route to a job's workflow; ``created``: of one that creates."""
    words = f"The same request was made before with this key: the same job. {REPLAY_HEADER}: true."
    replay = {"description": words, "model": JobOut}
    return ACCEPTED | ({200: replay} if created else {})
