"""Freezes and holds of many services: the days to come, adding one, ending one."""

import asyncio
from collections.abc import Iterable
from typing import Final

from fastapi import APIRouter
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import Fields, form_of, page, see
from api.dashboard.drawings.calendar import CalendarRow, calendar_svg
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.words import millis, names, number, pairs, times
from api.http.problems import Problem
from api.line.calendar import Calendar, CalendarItem, CalendarKind
from api.line.schemas import LineStops
from api.wording import counted

router = APIRouter(include_in_schema=False)
_FREEZES: Final = "/api/dashboard/freezes"
_HOLDS: Final = "/api/dashboard/holds"
_DAYS: Final = 30
_HOUR: Final = 3600
_LOOKS: Final = {
    CalendarKind.FREEZE: "freeze",
    CalendarKind.MANY_FREEZE: "freeze",
    CalendarKind.WINDOW: "window",
    CalendarKind.ALLOW: "allow",
    CalendarKind.HOLD: "hold",
    CalendarKind.MANY_HOLD: "hold",
}


@router.get("/freezes")
async def freezes(request: Request) -> Response:
    """Of many services. One service's own stand on its page."""
    return await _freezes_page(request)


@router.post("/freezes")
async def add(request: Request) -> Response:
    """A freeze or a hold."""
    form = await form_of(request)
    scope: dict[str, object] = {"environments": names(form["environments"]), "exceptions": names(form["exceptions"])}
    match form["whose"]:
        case "labels":
            scope["labels"] = pairs(form["labels"])
        case "services":
            scope["services"] = names(form["services"])
        case _:
            scope["all_services"] = True
    holds = form["kind"] == "hold"
    body: dict[str, object] = {"name": form["name"]} if holds and form["name"] else {} if holds else freeze_body(form)
    if not holds and form["strict"]:
        body["allow_override"] = False
    sent = {**body, "scope": scope, "reason": form["reason"]}
    try:
        await Inside(request).send("POST", _HOLDS if holds else _FREEZES, sent, csrf=form["csrf"])
    except RefusedByApi as refused:
        return await _freezes_page(request, problem=refused.problem, filled=form)
    return see(request, "/freezes")


@router.post("/freezes/{stop_id}/remove")
async def remove(request: Request, stop_id: str) -> Response:
    """End a freeze before its time, or release a hold: the form says which of the two."""
    form = await form_of(request)
    where = _HOLDS if form["kind"] == "hold" else _FREEZES
    body = {"reason": form["reason"]} if form["reason"] else {}
    try:
        await Inside(request).send("DELETE", f"{where}/{stop_id}", body, csrf=form["csrf"])
    except RefusedByApi as refused:
        return await _freezes_page(request, problem=refused.problem, removed=Fields(form, stop_id=stop_id))
    return see(request, "/freezes")


def freeze_body(form: Fields) -> dict[str, object]:
    """Of the fields ``name``, ``reason``, ``starts`` (UTC), and ``ends`` or ``hours``."""
    ends = millis(form["ends"])
    body: dict[str, object | None] = {
        "name": form["name"],
        "reason": form["reason"],
        "starts_at": millis(form["starts"]),
        "ends_at": ends,
        "duration_seconds": times(number(form["hours"]), _HOUR) if ends is None else None,
    }
    return {name: value for name, value in body.items() if value not in (None, "")}


def drawn(calendar: Calendar, days: int) -> Markup:
    """The calendar as a drawing; what recurs is one row."""
    rows: dict[tuple[object, ...], CalendarRow] = {}
    for item in calendar.items:
        where = item.environment or item.scope
        one = item.item_id or f"{item.kind}:{item.name}:{item.cron}:{item.timezone}"
        row = rows.setdefault((where, one), CalendarRow(f"{item.name} · {where}", _LOOKS[item.kind], _told(item)))
        row.spans.append((item.starts_at, item.ends_at))
    label = f"What stops rollouts in {counted(days, 'day')}"
    return calendar_svg(list(rows.values()), calendar.since, days, label=label)


def _told(item: CalendarItem) -> str:
    parts: Iterable[str] = (
        item.name,
        item.environment or item.scope,
        f"{item.cron} {item.timezone}" if item.cron else "",
        f"by {item.by}" if item.by else "",
        item.reason,
    )
    return ", ".join(each for each in parts if each)


async def _freezes_page(
    request: Request, *, problem: Problem | None = None, filled: Fields | None = None, removed: Fields | None = None
) -> Response:
    api = Inside(request)
    calendar, frozen, held = await asyncio.gather(
        api.get(f"{_FREEZES}/calendar", Calendar, {"days": _DAYS}),
        api.get(_FREEZES, LineStops),
        api.get(_HOLDS, LineStops),
    )
    return page(
        request,
        "services/freezes.html",
        api=api,
        status=200 if problem is None else problem.status,
        calendar=calendar,
        drawing=drawn(calendar, _DAYS),
        stops=[*held.items, *frozen.items],
        problem=problem,
        filled=filled or Fields(),
        removed=removed or Fields(),
    )
