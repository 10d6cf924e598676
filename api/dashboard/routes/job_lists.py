"""The list of jobs: filters in the address, and one box that finds a job by how its id or its commit begins."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, chosen, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.jobs.moments import moment_in
from api.http.errors import problem_body, request_id_of
from api.http.problems import Problem
from workflows.contracts.errors import ErrorCode, FieldError
from workflows.contracts.ids import is_uuid
from workflows.contracts.jobs import JobSummary
from workflows.contracts.records import JobPage
from workflows.contracts.statuses import JobStatus

router = APIRouter(include_in_schema=False)
JOBS: Final = "/api/dashboard/jobs"
TIMES: Final = ("since", "until")
_FILTERS: Final = (
    "status", "job_type", "pool", "agent_id", "repository", "branch", "commit", "service", "author", "cause", *TIMES,
)  # fmt: skip
_STATUSES: Final = [each.value for each in JobStatus]
_ID_START: Final = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")
_COMMIT_START: Final = re.compile(r"[0-9a-f]{4,64}")
_MOST_FOUND: Final = 20


@router.get("/jobs")
async def jobs(request: Request) -> Response:
    """Filters stand in the address; what they say that the API refuses is told on the page."""
    api = Inside(request)
    query = chosen(request, *_FILTERS, "cursor", "limit")
    labels = [text for each in request.query_params.getlist("label") if (text := each.strip())]
    wanted = request.query_params.get("q", "").strip().lower()
    if wanted:
        return await _searched(request, api, wanted)
    try:
        asked = {**with_times(request, query), "label": labels or None}
        found, problem = await api.get(JOBS, JobPage, asked), None
    except RefusedByApi as refused:
        if refused.problem.status != 422:
            raise
        found, problem = JobPage(items=[]), refused.problem
        await api.get(JOBS, JobPage, {"limit": 1})  # who asks
    return _page(request, api, found=found, query=query, labels=labels, problem=problem)


def with_times(request: Request, query: Mapping[str, str]) -> dict[str, Any]:
    """The query with its times as the API takes them. Raises RefusedByApi for what is no time."""
    asked, now = dict(query), round(time.time() * 1000)
    errors: list[FieldError] = []
    for name in TIMES:
        if text := asked.pop(name, ""):
            moment = moment_in(text, now)
            if moment is None:
                errors.append(
                    FieldError(field=name, message="is no time: write 2h, 2026-12-24 or 2026-12-24T18:00 (UTC)")
                )
            else:
                asked[name] = str(moment)
    if errors:
        body = problem_body(
            ErrorCode.VALIDATION_FAILED, "Correct the times.", request_id=request_id_of(request), errors=errors
        )
        raise RefusedByApi(Problem.model_validate(body))
    return asked


async def _searched(request: Request, api: Inside, wanted: str) -> Response:
    """Straight to the job where only one fits."""
    if is_uuid(wanted):
        return see(request, f"/jobs/{wanted}")
    names = [
        name
        for name, pattern in (("job_id", _ID_START), ("commit", _COMMIT_START))
        if pattern.fullmatch(wanted) is not None
    ]
    pages = await asyncio.gather(*(api.get(JOBS, JobPage, {name: wanted, "limit": _MOST_FOUND}) for name in names))
    found: dict[str, JobSummary] = {job.job_id: job for each in pages for job in each.items}
    if len(found) == 1:
        return see(request, f"/jobs/{next(iter(found))}")
    if not names:
        await api.get(JOBS, JobPage, {"limit": 1})  # who asks
    newest = sorted(found.values(), key=lambda job: job.created_at, reverse=True)
    merged = JobPage(
        items=newest,
        stopped_early=any(each.stopped_early for each in pages),
        looked_at=max((each.looked_at or 0 for each in pages), default=0) or None,
    )
    return _page(request, api, found=merged, query=Fields(), labels=[], wanted=wanted, names=names)


def _page(
    request: Request,
    api: Inside,
    *,
    found: JobPage,
    query: Fields,
    labels: Sequence[str],
    problem: Problem | None = None,
    wanted: str = "",
    names: Sequence[str] = (),
) -> Response:
    kept = [(name, value) for name, value in query.items() if name != "cursor"]
    kept += [("label", label) for label in labels]
    return page(
        request,
        "jobs/list.html",
        api=api,
        status=200 if problem is None else problem.status,
        found=found,
        query=query,
        labels=labels,
        kept=kept,
        statuses=_STATUSES,
        problem=problem,
        wanted=wanted,
        names=names,
    )
