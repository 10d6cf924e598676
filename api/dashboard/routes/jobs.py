"""Jobs: the list, one job with its attempts and its log, dead letters; what can be done with them."""

import asyncio
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, chosen, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.log_html import LogLine
from api.dashboard.routes.logs import read_lines
from api.http.problems import Problem
from api.jobs.schemas import ShownJob
from workflows.contracts.records import JobPage
from workflows.contracts.statuses import JobStatus

router = APIRouter(include_in_schema=False)
FILTERS: Final = ("status", "pool", "job_type", "agent_id", "repository", "branch", "commit", "service", "author")
_LAST_LINES: Final = 200
_STATUSES: Final = [each.value for each in JobStatus]
_JOBS: Final = "/api/dashboard/jobs"
_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "cancel": ("POST", "/api/dashboard/jobs/{job_id}/cancel"),
    "retry": ("POST", "/api/dashboard/jobs/{job_id}/retry"),
    "redrive": ("POST", "/api/queue/dead-letters/{job_id}/redrive"),
    "discard": ("DELETE", "/api/queue/dead-letters/{job_id}"),
    "amend": ("PATCH", "/api/dashboard/jobs/{job_id}"),
    "edit": ("PATCH", "/api/queue/dead-letters/{job_id}"),
}
_WITHOUT_BODY: Final = frozenset({"retry"})


@router.get("/jobs")
async def jobs(request: Request) -> Response:
    """Filters stand in the address."""
    query = chosen(request, *FILTERS, "cursor", "limit")
    found = await (api := Inside(request)).get(_JOBS, JobPage, query)
    return page(
        request,
        "jobs.html",
        api=api,
        found=found,
        query=query,
        filters=FILTERS,
        statuses=_STATUSES,
    )


@router.get("/dead-letters")
async def dead_letters(request: Request) -> Response:
    """Why, and what to do about it."""
    query = chosen(request, *FILTERS, "cursor", "limit")
    query.pop("status", None)
    found = await (api := Inside(request)).get("/api/queue/dead-letters", JobPage, query)
    return page(request, "dead_letters.html", api=api, found=found, query=query)


@router.get("/jobs/{job_id}")
async def job(request: Request, job_id: str) -> Response:
    """One job."""
    return await _job_page(request, job_id)


@router.post("/jobs/{job_id}/{command}")
async def command_job(request: Request, job_id: str, command: str) -> Response:
    """A form of the job's page. What the API refuses is told on the page, with what was filled in."""
    api, form = Inside(request), await form_of(request)
    csrf = form.pop("csrf", "")
    method, path = _COMMANDS.get(command, ("POST", f"{_JOBS}/{{job_id}}/{command}"))
    body = None if command in _WITHOUT_BODY else {name: value for name, value in form.items() if value}
    try:
        answer = await api.send(method, path.format(job_id=job_id), body, csrf=csrf)
    except RefusedByApi as refused:
        return await _job_page(request, job_id, problem=refused.problem, filled=form)
    return see(request, f"/jobs/{ShownJob.model_validate_json(answer.body).job_id if answer.body else job_id}")


async def _job_page(
    request: Request, job_id: str, *, problem: Problem | None = None, filled: Fields | None = None
) -> Response:
    api = Inside(request)
    found, (lines, told) = await asyncio.gather(api.get(f"{_JOBS}/{job_id}", ShownJob), _log(api, request, job_id))
    return page(
        request,
        "job.html",
        api=api,
        status=200 if problem is None else problem.status,
        job=found,
        lines=lines,
        told=told,
        attempt=_attempt(request, found),
        problem=problem,
        filled=filled or Fields(),
    )


async def _log(api: Inside, request: Request, job_id: str) -> tuple[list[LogLine], str]:
    """The chosen lines of the chosen attempt and which these are; or why there are none."""
    wanted = request.query_params.get("lines") or f"-{_LAST_LINES}"
    try:
        return await read_lines(api, job_id, request.query_params.get("attempt"), wanted)
    except RefusedByApi as refused:
        return [], refused.problem.detail


def _attempt(request: Request, job: ShownJob) -> int:
    last = job.attempts[-1].number if job.attempts else 1
    asked = request.query_params.get("attempt", "")
    return int(asked) if asked.isdigit() else last
