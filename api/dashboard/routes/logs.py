"""A log for the viewer: any range of lines as HTML, with how many there are; and what a search finds."""

import re
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import fragment
from api.dashboard.inside import Inside
from api.dashboard.log_html import LogLine, lines_of

router = APIRouter(include_in_schema=False)
MOST_LINES: Final = 1000
MOST_BYTES: Final = 2 << 20
"""Of one answer: a log with longer lines comes in shorter ranges."""
_JOBS: Final = "/api/dashboard/jobs"
_TOLD: Final = re.compile(r"(\d+)-(\d+)/(\d+)")
_WANTED: Final = re.compile(r"(-?)(\d{1,12})(?:-(\d{1,12}))?")


@router.get("/jobs/{job_id}/log")
async def log_lines(request: Request, job_id: str) -> Response:
    """``lines`` as the API takes them, at most a thousand; ``attempt`` a number."""
    lines, told = await read_lines(
        Inside(request), job_id, request.query_params.get("attempt"), request.query_params.get("lines", "-200")
    )
    return fragment(request, "jobs/log_lines.html", headers={"Log-Lines": told}, lines=lines)


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
