"""``GET …/logs/search``: the lines of a log with a text or an expression in them."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.auth.guard import Caller
from api.http.answers import json_answer
from api.http.errors import ApiError, ProblemCode
from api.http.ids import JobId
from api.logs.needle import MAX_CHARACTERS, Wanted, needle_of
from api.logs.ports import LogPortsDep
from api.logs.removed import require_log
from api.logs.search import LogHits, LogSearch
from workflows.contracts.base import Frozen
from workflows.contracts.errors import NotFound

router = APIRouter(prefix="/api/dashboard/jobs", tags=["jobs"])
_EACH: Final = 2
_ALL: Final = 8
_running: Final = Counter[str]()


class SearchQuery(Frozen):
    """What to look for, and where."""

    text: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = Field(default=None, description="Taken as it is.")
    regex: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = Field(
        default=None, description="An expression of RE2."
    )
    ignore_case: bool = False
    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(default=None, description="Default: the last.")
    limit: Annotated[int, Field(ge=1, le=1000)] = Field(default=100, description="So many lines are shown.")
    cursor: Annotated[str, Field(pattern=r"^[0-9]{1,15}:[1-9][0-9]{0,14}$")] | None = Field(
        default=None, description="`next_cursor` of the request before, or one of its `pages`."
    )
    stop: bool = Field(default=False, description="Count no further once `limit` lines are found.")
    pages: bool = Field(default=False, description="Say where the lines behind the first `limit` are shown.")


@router.get("/{job_id}/logs/search", response_model=LogHits, summary="Search a job's log")
async def search_log(
    job_id: JobId, wanted: Annotated[SearchQuery, Query()], ports: LogPortsDep, caller: Caller
) -> Response:
    """Also while it grows. A request searches 256 MiB, or for 5 s; go on with ``next_cursor`` until it is null. 429 for
    a third search of one caller at a time.
    """
    job = await ports.reader.get(job_id)
    require_log(job)
    last = job.attempts[-1].number if job.attempts else 1
    attempt = wanted.attempt or last
    if attempt > last:
        raise NotFound(f"Job {job_id} has no attempt {attempt}: its last is {last}.")
    needle = needle_of(Wanted(wanted.text, wanted.regex, wanted.ignore_case))
    start, line = (int(word) for word in (wanted.cursor or "0:1").split(":"))
    with _slot(caller.credential_id or caller.id):
        found = await LogSearch(needle, wanted.limit, start, line, wanted.stop, wanted.pages).run(
            ports.logs, job_id, attempt
        )
    return json_answer(found.model_dump_json().encode())


@contextmanager
def _slot(who: str) -> Generator[None]:
    """Raises ApiError too_many_requests."""
    if _running[who] >= _EACH or _running.total() >= _ALL:
        whose = f"{_EACH} searches of yours" if _running[who] >= _EACH else f"{_ALL} searches"
        raise ApiError(
            ProblemCode.TOO_MANY_REQUESTS,
            f"{whose} are under way already: wait until one has ended.",
            headers={"Retry-After": "2"},
        )
    _running[who] += 1
    try:
        yield
    finally:
        _running[who] -= 1
        if not _running[who]:
            del _running[who]
