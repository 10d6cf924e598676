"""One job: its page with its log, where its steps are, and what can be done with it."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.jobs.edits import amend_of, changes_of, edit_of, fields_of, seen_of
from api.dashboard.log_html import LogLine
from api.dashboard.markdown import from_markdown
from api.dashboard.routes.job_parts import facts_of, line_of_step, require_as_seen, require_edit, require_may
from api.dashboard.routes.logs import attempt_of, log_facts, read_lines
from api.http.problems import Problem
from api.jobs.schemas import ShownJob
from workflows.contracts.audit.events import EventPage
from workflows.contracts.jobs import SERVICE_LABEL
from workflows.contracts.statuses import Priority

router = APIRouter(include_in_schema=False)
_LAST_LINES: Final = 200
_PRIORITIES: Final = [each.value for each in Priority]
_EVENTS: Final = 50
_MOST_DIGITS: Final = 6
_JOBS: Final = "/api/dashboard/jobs"
_COMMANDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "redrive": ("POST", "/api/queue/dead-letters/", "/redrive"),
    "discard": ("DELETE", "/api/queue/dead-letters/", ""),
    "edit": ("PATCH", "/api/queue/dead-letters/", ""),
    "amend": ("PATCH", "/api/dashboard/jobs/", ""),
}
"""The method, and what stands around the job's id; others are the job's own of the same name."""
_OF_ITS_STATE: Final = frozenset({"redrive", "discard", "edit", "review", "amend"})
_WITHOUT_BODY: Final = frozenset({"retry"})


@router.get("/jobs/{job_id}")
async def job(request: Request, job_id: str) -> Response:
    """One job; with ``step`` where its log has it."""
    step = request.query_params.get("step")
    return await _job_page(request, job_id) if step is None else await _step_in_log(request, job_id, step)


@router.post("/jobs/{job_id}/{command}")
async def command_job(request: Request, job_id: str, command: str) -> Response:
    """A form of the job's page. What the API refuses is told on the page, with what was filled in."""
    api, form = Inside(request), await form_of(request)
    csrf, seen, key = form.pop("csrf", ""), form.pop("seen", ""), form.pop("key", "")
    try:
        job = await api.get(f"{_JOBS}/{job_id}", ShownJob) if command in _OF_ITS_STATE else None
        if job is not None and command == "review":
            return await _review(request, api, job, form)
        if job is not None:
            require_as_seen(request, job, seen)
        method, before, behind = _COMMANDS.get(command) or ("POST", f"{_JOBS}/", f"/{command}")
        body = None if command in _WITHOUT_BODY else _body(command, form, job)
        answer = await api.send(
            method, f"{before}{job_id}{behind}", body, csrf=csrf, key=key if command == "retry" else ""
        )
    except RefusedByApi as refused:
        return await _job_page(request, job_id, problem=refused.problem, filled=form)
    return see(request, f"/jobs/{ShownJob.model_validate_json(answer.body).job_id if answer.body else job_id}")


def _body(command: str, form: Fields, job: ShownJob | None) -> dict[str, Any]:
    reason = {"reason": form["reason"]} if form["reason"] else {}
    if command == "redrive":
        edit = edit_of(form, job)
        return {**({"edit": edit} if edit else {}), **reason}
    if command == "edit":
        return edit_of(form, job)
    if command == "amend":
        return amend_of(form, job)
    return {name: value for name, value in form.items() if value}


async def _review(request: Request, api: Inside, job: ShownJob, form: Fields) -> Response:
    """What the edit would change, before anything is changed. Raises RefusedByApi for who may change nothing."""
    require_may(request, api, "jobs:operate", job.labels.get(SERVICE_LABEL), job.pool)
    edit = edit_of(form, job)
    require_edit(request, edit)
    return page(
        request,
        "jobs/review.html",
        api=api,
        job=job,
        changes=changes_of(job, edit),
        filled=form,
        fields=[(name, form[name]) for name in fields_of(job) if name in form],
        seen=seen_of(job),
    )


async def _step_in_log(request: Request, job_id: str, step: str) -> Response:
    """Where the step begins in the log, by the line that the agent wrote before it; else the log as it opens."""
    api = Inside(request)
    job = await api.get(f"{_JOBS}/{job_id}", ShownJob)
    attempt = attempt_of(request, job)
    found = next((each for each in job.attempts if each.number == attempt), None)
    number = int(step) if step.isascii() and step.isdecimal() and len(step) <= _MOST_DIGITS else 0
    results = found.steps if found is not None else []
    names = [each.name for each in (results or job.steps)][:number]
    marked = [name for name, each in zip(names, results, strict=False) if each.started_at and not each.resumed]
    ran = not results or (
        0 < number <= len(results) and results[number - 1].started_at and not results[number - 1].resumed
    )
    wanted = ran and 0 < number <= len(results or job.steps)
    line = await line_of_step(api, job_id, attempt, marked if results else names) if wanted else None
    return see(request, f"/jobs/{job_id}?attempt={attempt}" + ("#log" if line is None else f"#a{attempt}:L{line}"))


async def _job_page(
    request: Request, job_id: str, *, problem: Problem | None = None, filled: Fields | None = None
) -> Response:
    api = Inside(request)
    found, (lines, told), history = await asyncio.gather(
        api.get(f"{_JOBS}/{job_id}", ShownJob),
        _log(api, request, job_id),
        api.get(f"{_JOBS}/{job_id}/events", EventPage, {"limit": _EVENTS}),
    )
    attempt = attempt_of(request, found)
    chosen = next((each for each in found.attempts if each.number == attempt), None)
    text = chosen.summary if chosen is not None else None
    return page(
        request,
        "jobs/job.html",
        api=api,
        status=200 if problem is None else problem.status,
        job=found,
        lines=lines,
        told=told,
        attempt=attempt,
        summary=None if text is None else await asyncio.to_thread(from_markdown, text),
        said=sorted(chosen.outputs.items()) if chosen is not None else [],
        log_facts=log_facts(found, attempt),
        problem=problem,
        priorities=_PRIORITIES,
        filled=filled or Fields(),
        **facts_of(found, history, problem),
    )


async def _log(api: Inside, request: Request, job_id: str) -> tuple[list[LogLine], str]:
    """The chosen lines of the chosen attempt and which these are; or why there are none."""
    wanted = request.query_params.get("lines") or f"-{_LAST_LINES}"
    try:
        return await read_lines(api, job_id, request.query_params.get("attempt"), wanted)
    except RefusedByApi as refused:
        return [], refused.problem.detail
