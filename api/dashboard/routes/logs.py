"""A log for the viewer: any range of lines as HTML, with how many there are; and as text without scripts."""

import asyncio
import json
import re
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import fragment, page
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.log_html import LogLine, lines_of
from api.jobs.schemas import ShownJob
from api.logs.steps import LogSteps, StepLines

router = APIRouter(include_in_schema=False)
MOST_LINES: Final = 1000
MOST_BYTES: Final = 2 << 20
"""Of one answer: a log with longer lines comes in shorter ranges."""
TEXT_LINES: Final = 500
"""Of one page of text."""
_JOBS: Final = "/api/dashboard/jobs"
_TOLD: Final = re.compile(r"(\d+)-(\d+)/(\d+)")
_WANTED: Final = re.compile(r"(-?)(\d{1,12})(?:-(\d{1,12}))?")
_MOST_DIGITS: Final = 6


@router.get("/jobs/{job_id}/log/lines")
async def log_lines(request: Request, job_id: str) -> Response:
    """For the viewer. ``lines`` as the API takes them, at most a thousand; ``attempt`` a number."""
    lines, told = await read_lines(
        Inside(request), job_id, request.query_params.get("attempt"), request.query_params.get("lines", "-200")
    )
    return fragment(request, "logs/lines.html", headers={"Log-Lines": told}, lines=lines)


@router.get("/jobs/{job_id}/log")
async def log_page(request: Request, job_id: str) -> Response:
    """For readers: the last lines, or ``lines``, with their steps as headings."""
    api = Inside(request)
    job = await api.get(f"{_JOBS}/{job_id}", ShownJob)
    attempt, wanted = attempt_of(request, job), request.query_params.get("lines") or f"-{TEXT_LINES}"
    (lines, told), steps = await asyncio.gather(_lines(api, job_id, attempt, wanted), _steps(api, job_id, attempt))
    found = _TOLD.fullmatch(told)
    first, last, total = (int(found[1]), int(found[2]), int(found[3])) if found is not None and lines else (1, 0, 0)
    return page(
        request,
        "logs/page.html",
        api=api,
        job=job,
        attempt=attempt,
        told=told,
        first=first,
        last=last,
        total=total,
        size=TEXT_LINES,
        steps=steps,
        parts_of_log=_by_step(lines, steps),
    )


def attempt_of(request: Request, job: ShownJob) -> int:
    """The one that the address names, else the last."""
    last = job.attempts[-1].number if job.attempts else 1
    asked = request.query_params.get("attempt", "")
    return int(asked) if asked.isdecimal() and len(asked) <= _MOST_DIGITS else last


def log_facts(job: ShownJob, attempt: int) -> str:
    """What the viewer must know of the job, as JSON: which attempt is shown, and which of all still run."""
    over = job.status.ended or job.status == "dead_lettered"
    runs = [each.number for each in job.attempts if each.outcome is None] if not over else []
    numbers = [each.number for each in job.attempts] or [1]
    return json.dumps({"attempt": attempt, "attempts": numbers, "runs": runs, "over": over})


async def read_lines(api: Inside, job_id: str, attempt: str | None, wanted: str) -> tuple[list[LogLine], str]:
    """The lines, and which of how many these are: ``1-200/4000``. Raises RefusedByApi."""
    query = {"lines": _bounded(wanted), "attempt": attempt, "timestamps": "true"}
    answer = await api.text(f"{_JOBS}/{job_id}/logs", query, most=MOST_BYTES)
    told = answer.header("log-lines") or "0-0/0"
    found = _TOLD.fullmatch(told)
    if found is None or not answer.body:
        return [], told
    lines = lines_of(answer.body, int(found[1]), timed=True)
    last = lines[-1].number if lines else int(found[1]) - 1
    return lines, f"{found[1]}-{last}/{found[3]}"


async def _lines(api: Inside, job_id: str, attempt: int, wanted: str) -> tuple[list[LogLine], str]:
    """The lines; or none, and why there are none."""
    try:
        return await read_lines(api, job_id, str(attempt), wanted)
    except RefusedByApi as refused:
        return [], refused.problem.detail


async def _steps(api: Inside, job_id: str, attempt: int) -> list[StepLines]:
    """None where there is no log."""
    try:
        return (await api.get(f"{_JOBS}/{job_id}/logs/steps", LogSteps, {"attempt": attempt})).steps
    except RefusedByApi:
        return []


def _by_step(lines: list[LogLine], steps: list[StepLines]) -> list[tuple[StepLines | None, list[LogLine]]]:
    """The lines in parts; a part that begins with a step's mark has the step as its heading."""
    marks = {step.first_line: step for step in steps}
    parts = list[tuple[StepLines | None, list[LogLine]]]()
    for line in lines:
        if not parts or line.number in marks:
            parts.append((marks.get(line.number), []))
        parts[-1][1].append(line)
    return parts


def _bounded(wanted: str) -> str:
    """No more lines than one answer has; what cannot be read the API refuses."""
    found = _WANTED.fullmatch(wanted)
    if found is None:
        return wanted
    first = int(found[2])
    if found[1]:
        return f"-{min(max(first, 1), MOST_LINES)}"
    last = int(found[3]) if found[3] else first
    return f"{first}-{min(last, first + MOST_LINES - 1)}"
