"""What the job's page shows besides its log: timeline, files, history; and whether all is still as it was seen."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from starlette.requests import Request

from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.jobs.edits import plain_values, seen_of
from api.dashboard.jobs.timeline import tried
from api.dashboard.jobs.tree import tree_of
from api.dashboard.may import May
from api.http.bodies import validation_failed
from api.http.errors import ProblemCode, problem_body, request_id_of
from api.http.problems import Problem
from api.jobs.advice import ADVICE
from api.jobs.commands import EditRequest
from api.jobs.schemas import ShownJob
from api.logs.search import LogHits
from workflows.contracts.audit.events import EventPage
from workflows.contracts.errors import ErrorCode, FieldError, field_errors
from workflows.contracts.fields import INCOMING

MOST_ATTEMPTS: Final = 20
"""Attempts that a page shows, the last ones."""
_MARK: Final = "--- "
_MOST_HITS: Final = 1000
_COMPARED: Final = 100
"""Characters of a mark; a hit is shown by its first 500 bytes."""


def facts_of(job: ShownJob, history: EventPage, problem: Problem | None) -> dict[str, Any]:
    """For the template, by name."""
    now = round(time.time() * 1000)
    last = job.attempts[-1] if job.attempts else None
    cause = job.cause or (last.cause if last is not None else None)
    return {
        "tries": [tried(each, job.steps, now) for each in reversed(job.attempts[-MOST_ATTEMPTS:])],
        "trees": {each.number: tree_of(each.artifacts) for each in job.attempts if each.artifacts},
        "advice": ADVICE.get(cause or "", ""),
        "history": history,
        "now": plain_values(job),
        "seen": seen_of(job),
        "key": secrets.token_urlsafe(12),
        "stale": problem is not None and problem.code == ErrorCode.INVALID_STATE,
    }


def require_as_seen(request: Request, job: ShownJob, seen: str) -> None:
    """Raises RefusedByApi when the page that the form was on showed something else of the job."""
    if seen and seen != seen_of(job):
        words = (
            "Somebody was faster: the job was changed, or run again, after your page was shown. Nothing was done now;"
            " look at it as it is, and decide again."
        )
        raise refusal(request, ErrorCode.INVALID_STATE, words)


def require_may(
    request: Request, api: Inside, operation: str, service: str | None = None, pool: str | None = None
) -> None:
    """Before a page that changes nothing itself, but leads to what does. Raises RefusedByApi."""
    may = May(api.caller)
    if not may(operation, service, pool):
        raise refusal(request, ProblemCode.FORBIDDEN, f"This needs the role {may.who(operation)}; you are {may.name}.")


def require_edit(request: Request, edit: Mapping[str, Any]) -> None:
    """What the API would refuse is told before anything is asked of it. Raises RefusedByApi."""
    try:
        EditRequest.model_validate(edit, context=INCOMING, strict=False)
    except ValidationError as error:
        failed = validation_failed(field_errors(error, nameless="edit"))
        raise refusal(request, ErrorCode.VALIDATION_FAILED, failed.message, failed.errors) from None


def refusal(request: Request, code: str, detail: str, errors: Sequence[FieldError] = ()) -> RefusedByApi:
    """As the API would say it."""
    body = problem_body(code, detail, request_id=request_id_of(request), errors=errors)
    return RefusedByApi(Problem.model_validate(body))


async def line_of_step(api: Inside, job_id: str, attempt: int, names: Sequence[str]) -> int | None:
    """The line that the agent wrote before the last of these steps, which come one after the other."""
    query = {"regex": f"^{_MARK}", "attempt": attempt, "limit": _MOST_HITS}
    try:
        hits = (await api.get(f"/api/dashboard/jobs/{job_id}/logs/search", LogHits, query)).hits
    except RefusedByApi:
        return None
    line, found = None, 0
    for hit in hits:
        if found < len(names) and hit.text.startswith(f"{_MARK}{names[found]}"[:_COMPARED]):
            line, found = hit.line, found + 1
    return line if found == len(names) else None
