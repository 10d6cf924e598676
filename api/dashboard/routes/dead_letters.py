"""Dead letters: why they died, by cause; some, or all that a filter means, run again or are given up, after a look."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, chosen, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.jobs.edits import edit_of
from api.dashboard.routes.job_lists import TIMES, with_times
from api.dashboard.routes.job_parts import refusal, require_edit, require_may
from api.http.problems import Problem
from api.jobs.advice import ADVICE
from api.jobs.causes import DeadLetterCauses
from api.jobs.commands import BulkRedriveStarted
from workflows.contracts.commands import BulkRedriveProgress
from workflows.contracts.errors import ErrorCode
from workflows.contracts.ids import is_uuid
from workflows.contracts.records import JobPage
from workflows.contracts.statuses import Priority

router = APIRouter(include_in_schema=False)
_LETTERS: Final = "/api/queue/dead-letters"
_FILTERS: Final = ("cause", "pool", "service", "job_type", *TIMES)
"""What a bulk redrive can be narrowed by too."""
ONLY: Final = "only_"
"""Before the name of a filter in the form that does it."""
_ENDED: Final = frozenset({"finished", "stopped"})
_AT_ONCE: Final = 8
_PRIORITIES: Final = [each.value for each in Priority]
_MOST_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Done:
    """What became of each that was chosen."""

    what: str
    done: Sequence[str]
    refused: Mapping[str, str]


@router.get("/dead-letters")
async def dead_letters(request: Request) -> Response:
    """Why, and what to do about it."""
    return await _letters_page(request, chosen(request, *_FILTERS, "cursor", "limit"))


@router.get("/dead-letters/redrives/{redrive_id}")
async def redrive(request: Request, redrive_id: str) -> Response:
    """How far it is: asked again every few seconds while it goes on."""
    api = Inside(request)
    found = await api.get(f"{_LETTERS}/redrives/{redrive_id}", BulkRedriveProgress)
    return page(request, "jobs/redrive.html", api=api, redrive=found, over=found.state in _ENDED)


@router.post("/dead-letters/{command}")
async def command_dead_letters(request: Request, command: str) -> Response:
    """``review`` shows what would be done; ``redrive`` and ``discard`` do it."""
    api, form = Inside(request), await form_of(request)
    ids = await _chosen_ids(request)
    # The form after the look has an edit's fields too: which are meant stands beside what becomes of them.
    before, all_of = ("", "filter") if command == "review" else (ONLY, "meant")
    query = Fields({name: form[before + name] for name in _FILTERS if form[before + name]})
    try:
        # Whoever may do nothing is told so first, and not what is wrong with the form.
        await api.get(_LETTERS, JobPage, {"limit": 1})
        require_may(request, api, "jobs:operate")
        if not ids and form["scope"] != all_of:
            raise refusal(request, ErrorCode.VALIDATION_FAILED, "Choose at least one dead letter.")
        if command == "review":
            return await _review(request, api, Fields(what=form["what"]), ids, query)
        if command == "discard" and ids:
            done = await _each(api, "discard", ids, form)
        elif command == "redrive" and ids and not form["canary"] and not edit_of(form):
            done = await _each(api, "redrive", ids, form)
        elif command == "redrive":
            return await _in_bulk(request, api, form, ids, query)
        else:
            raise refusal(request, ErrorCode.NOT_FOUND, f"There is no command {command[:40]!r} here.")
    except RefusedByApi as refused:
        if command == "redrive" and (ids or form["scope"] == all_of) and refused.problem.status == 422:
            return await _review(request, api, form, ids, query, problem=refused.problem)
        return await _letters_page(request, query, problem=refused.problem)
    if done.refused:
        return await _letters_page(request, query, done=done)
    return see(request, f"/dead-letters?{urlencode(query)}" if query else "/dead-letters")


async def _letters_page(
    request: Request, query: Fields, *, problem: Problem | None = None, done: Done | None = None
) -> Response:
    api = Inside(request)
    try:
        asked = with_times(request, query)
        narrowed = {name: value for name, value in asked.items() if name in _FILTERS}
        unfiltered = {name: value for name, value in narrowed.items() if name != "cause"}
        found, causes = await asyncio.gather(
            api.get(_LETTERS, JobPage, asked), api.get(f"{_LETTERS}/causes", DeadLetterCauses, unfiltered)
        )
    except RefusedByApi as refused:
        if refused.problem.status != 422 or problem is not None:
            raise
        return await _letters_page(request, Fields(), problem=refused.problem, done=done)
    status = 200 if problem is None else problem.status
    if done is not None and done.refused:
        status = 409
    return page(
        request,
        "jobs/dead_letters.html",
        api=api,
        status=status,
        found=found,
        causes=causes,
        advice=ADVICE,
        query=query,
        kept=[(name, value) for name, value in query.items() if name in _FILTERS],
        problem=problem,
        done=done,
    )


async def _review(
    request: Request, api: Inside, form: Fields, ids: Sequence[str], query: Fields, *, problem: Problem | None = None
) -> Response:
    what = "discard" if form["what"] == "discard" else "redrive"
    causes = await api.get(f"{_LETTERS}/causes", DeadLetterCauses, with_times(request, query))
    return page(
        request,
        "jobs/bulk.html",
        api=api,
        status=200 if problem is None else problem.status,
        what=what,
        ids=ids,
        query=query,
        causes=causes,
        count=len(ids) or causes.count,
        priorities=_PRIORITIES,
        filled=form,
        only=ONLY,
        key=form["key"] or secrets.token_urlsafe(12),
        problem=problem,
    )


async def _in_bulk(request: Request, api: Inside, form: Fields, ids: Sequence[str], query: Fields) -> Response:
    """By one workflow, which goes on whatever becomes of this page. Raises RefusedByApi."""
    edit = edit_of(form)
    require_edit(request, edit)
    wanted: dict[str, Any] = {**with_times(request, query), **({"job_ids": list(ids)} if ids else {})}
    body: dict[str, Any] = {
        "filter": {name: _whole(value) if name in TIMES else value for name, value in wanted.items()}
    }
    body |= {"edit": edit} if edit else {}
    body |= {"canary": {"count": _whole(form["canary"])}} if form["canary"] else {}
    body |= {"limit": _whole(form["limit"])} if form["limit"] else {}
    body |= {"reason": form["reason"]} if form["reason"] else {}
    answer = await api.send("POST", f"{_LETTERS}/redrive", body, csrf=form["csrf"], key=form["key"])
    started = BulkRedriveStarted.model_validate_json(answer.body)
    return see(request, f"/dead-letters/redrives/{started.redrive_id}")


async def _each(api: Inside, what: str, ids: Sequence[str], form: Fields) -> Done:
    """One by one, each with its own permission; one that is refused does not stop the others."""
    slots, body = asyncio.Semaphore(_AT_ONCE), ({"reason": form["reason"]} if form["reason"] else {})

    async def one(job_id: str) -> str | None:
        method, end = ("DELETE", "") if what == "discard" else ("POST", "/redrive")
        async with slots:
            try:
                await api.send(method, f"{_LETTERS}/{job_id}{end}", body, csrf=form["csrf"])
            except RefusedByApi as refused:
                return refused.problem.detail
            return None

    answers = dict(zip(ids, await asyncio.gather(*(one(job_id) for job_id in ids)), strict=True))
    refused = {job_id: why for job_id, why in answers.items() if why is not None}
    return Done(what, [job_id for job_id in ids if job_id not in refused], refused)


async def _chosen_ids(request: Request) -> list[str]:
    """The boxes that are ticked, each once; what is no id is none of ours."""
    fields = parse_qsl((await request.body()).decode("utf-8", "replace"))
    return [each for each in dict.fromkeys(value for name, value in fields if name == "job") if is_uuid(each)]


def _whole(text: str) -> int | str:
    """A text that is no number the API refuses by its field's name."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 2 * _MOST_DIGITS else text
