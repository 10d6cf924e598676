"""Jobs: the list, one job with its attempts and its log, dead letters; what can be done with them."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, chosen, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.log_html import LogLine
from api.dashboard.routes.logs import attempt_of, log_facts, read_lines
from api.http.problems import Problem
from api.jobs.schemas import ShownJob
from workflows.contracts.records import JobPage
from workflows.contracts.statuses import JobStatus, Priority

router = APIRouter(include_in_schema=False)
FILTERS: Final = ("status", "pool", "job_type", "agent_id", "repository", "branch", "commit", "service", "author")
_LAST_LINES: Final = 200
_PRIORITIES: Final = [each.value for each in Priority]
_STATUSES: Final = [each.value for each in JobStatus]
_JOBS: Final = "/api/dashboard/jobs"
_COMMANDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "redrive": ("POST", "/api/queue/dead-letters/", "/redrive"),
    "discard": ("DELETE", "/api/queue/dead-letters/", ""),
    "amend": ("PATCH", "/api/dashboard/jobs/", ""),
}
"""The method, and what stands around the job's id; others are the job's own of the same name."""
_NUMBERS: Final = frozenset({"timeout_seconds", "max_attempts"})
_WITHOUT_BODY: Final = frozenset({"retry"})


@router.get("/jobs")
async def jobs(request: Request) -> Response:
    """Filters stand in the address."""
    query = chosen(request, *FILTERS, "cursor", "limit")
    found = await (api := Inside(request)).get(_JOBS, JobPage, query)
    return page(
        request,
        "jobs/list.html",
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
    return page(request, "jobs/dead_letters.html", api=api, found=found, query=query)


@router.get("/jobs/{job_id}")
async def job(request: Request, job_id: str) -> Response:
    """One job."""
    return await _job_page(request, job_id)


@router.post("/jobs/{job_id}/{command}")
async def command_job(request: Request, job_id: str, command: str) -> Response:
    """A form of the job's page. What the API refuses is told on the page, with what was filled in."""
    api, form = Inside(request), await form_of(request)
    csrf = form.pop("csrf", "")
    method, before, behind = _COMMANDS.get(command) or ("POST", f"{_JOBS}/", f"/{command}")
    body = None if command in _WITHOUT_BODY else {name: value for name, value in form.items() if value}
    try:
        if command == "redrive":
            body = _redrive(await api.get(f"{_JOBS}/{job_id}", ShownJob), form)
        answer = await api.send(method, f"{before}{job_id}{behind}", body, csrf=csrf)
    except RefusedByApi as refused:
        return await _job_page(request, job_id, problem=refused.problem, filled=form)
    return see(request, f"/jobs/{ShownJob.model_validate_json(answer.body).job_id if answer.body else job_id}")


def _redrive(job: ShownJob, form: Fields) -> dict[str, Any]:
    """What differs from the job is its edit; a line ``NAME=VALUE`` sets a variable, ``NAME`` takes it away."""
    now = {"pool": job.pool, "priority": job.priority, "timeout_seconds": str(job.timeout_seconds)}
    edit: dict[str, Any] = {name: form[name] for name, was in now.items() if form[name] not in {"", was}}
    edit |= {"max_attempts": form["max_attempts"]} if form["max_attempts"] else {}
    edit = {name: int(value) if name in _NUMBERS and value.isdecimal() else value for name, value in edit.items()}
    lines = [line.strip() for line in form["env"].splitlines() if line.strip()]
    if lines:
        parts = (line.partition("=") for line in lines)
        edit["env"] = {name: value if equals else None for name, equals, value in parts}
    return {**({"edit": edit} if edit else {}), **({"reason": form["reason"]} if form["reason"] else {})}


async def _job_page(
    request: Request, job_id: str, *, problem: Problem | None = None, filled: Fields | None = None
) -> Response:
    api = Inside(request)
    found, (lines, told) = await asyncio.gather(api.get(f"{_JOBS}/{job_id}", ShownJob), _log(api, request, job_id))
    return page(
        request,
        "jobs/job.html",
        api=api,
        status=200 if problem is None else problem.status,
        job=found,
        lines=lines,
        told=told,
        attempt=(attempt := attempt_of(request, found)),
        log_facts=log_facts(found, attempt),
        problem=problem,
        priorities=_PRIORITIES,
        filled=filled or Fields(),
    )


async def _log(api: Inside, request: Request, job_id: str) -> tuple[list[LogLine], str]:
    """The chosen lines of the chosen attempt and which these are; or why there are none."""
    wanted = request.query_params.get("lines") or f"-{_LAST_LINES}"
    try:
        return await read_lines(api, job_id, request.query_params.get("attempt"), wanted)
    except RefusedByApi as refused:
        return [], refused.problem.detail
