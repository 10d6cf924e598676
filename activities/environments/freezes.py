"""Recurring freezes: is one on, until when, when does the next begin; and which windows make no sense. Pure.

A window is on from each moment of its cron expression, for its duration by the clock on the wall: one from Friday 17:00
to Monday 08:30 ends at 08:30 when the clocks change within it, and the whole of a day of 25 hours is one day. Cron
moments are those of Debian's cron, in the window's time zone: a moment that the clocks jump over comes when they have
jumped, one that comes twice counts the first time, unless its minute or hour begins with ``*``. An end that is jumped
over comes by as much later, one that comes twice is the first. Not in workflow code: time zones are data that change.

Deliberately not here: holds and ad hoc freezes (``workflows.environment``).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from workflows.contracts.deployments.environments import FreezeAnswer, FreezeQuestion
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.deployments.services import ServiceDefinition
from workflows.contracts.errors import FieldError, ValidationFailed

_YEAR: Final = timedelta(days=365)
_SECOND: Final = timedelta(seconds=1)
_TURN_BACK: Final = timedelta(hours=3)
"""No zone turns its clocks back by more, and none changes twice within that."""
_EXTENSIONS: Final = 400
"""How often, over all windows, a freeze's end is moved on by one that begins before it. Behind the last, ask again."""
_MOMENTS: Final = 200
"""More moments than these never lie within a turned back hour."""
_SOME_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)


def check_freeze(question: FreezeQuestion) -> FreezeAnswer:
    """``until`` is when none of the windows is on any more, or as far as could be seen: at least that long.

    Takes up to a second of CPU for the worst windows: call it in a thread. Raises ValidationFailed for a window whose
    cron or time zone is unknown here.
    """
    _require_readable(question.windows)
    if question.allow_windows and not _frozen_at(question.windows, question.at):
        until = opens_at(question.allow_windows, question.at)
        if until is not None:
            names = ", ".join(dict.fromkeys(window.name for window in question.allow_windows))
            return FreezeAnswer(until=until, name=names[:256], closed=True)
    at = datetime.fromtimestamp(question.at // 1000, UTC)  # cron moments have no fractions
    name, until = _on_until(question.windows, at)
    next_at = _next_begin(question.windows, until or at, at + _YEAR)
    return FreezeAnswer(
        until=_millis(until) if until is not None else None,
        name=name,
        next_at=_millis(next_at) if next_at is not None else None,
    )


def opens_at(windows: Sequence[FreezeWindow], at: int) -> int | None:
    """When the next of these windows begins (ms), None when one is on now; a year from now when none comes.

    For windows within which alone something may begin. Raises as ``check_freeze``, and may take as long.
    """
    _require_readable(windows)
    moment = datetime.fromtimestamp(at // 1000, UTC)
    if _longest(windows, moment)[1] > moment:
        return None
    return _millis(_next_begin(windows, moment, moment + _YEAR) or moment + _YEAR)


def times_of(window: FreezeWindow, begins: int, ends: int, most: int) -> list[tuple[int, int]]:
    """When a window is on between two moments (ms), in order, at most so many times. Raises as ``check_freeze``."""
    _require_readable([window])
    start, end = datetime.fromtimestamp(begins // 1000, UTC), datetime.fromtimestamp(ends // 1000, UTC)
    began = _last_moment(window, start)
    found = [] if began is None or _end(window, began) <= start else [began]
    following = _moments(window, ZoneInfo(window.timezone), start)
    for moment in islice(following, most + _MOMENTS):
        if moment >= end or len(found) >= most:
            break
        if moment > start:
            found.append(moment)
    return [(_millis(moment), _millis(_end(window, moment))) for moment in found]


def freeze_errors(definition: ServiceDefinition) -> list[FieldError]:
    """What is wrong with the freeze windows of a definition, by path (``environments.1.freeze_windows.0.cron``), and
    with those of a service's policy.
    """
    whole = definition.model_dump(include={"environments", "policy"})
    return [*freeze_errors_in(whole), *freeze_errors_in(whole.get("policy"), "policy.")]


def freeze_errors_in(definition: object, prefix: str = "") -> list[FieldError]:
    """The same of plain data that may be malformed elsewhere, so that all errors can be named at once."""
    return [
        FieldError(field=f"{prefix}environments.{place}.{kind}.{number}.{name}", message=problem)
        for place, environment in enumerate(_items(definition, "environments"))
        for kind in ("freeze_windows", "allow_windows")
        for number, window in enumerate(_items(environment, kind))
        for name, problem in _problems(_member(window, "cron"), _member(window, "timezone"))
    ]


def cron_problem(cron: str) -> str | None:
    """Why this is no cron expression that ever comes, or None."""
    if len(cron.split()) != 5:
        return "must have five fields: minute, hour, day of month, month, day of week"
    try:
        first = next(CronSim(cron, _SOME_TIME), None)
    except CronSimError as error:
        return f"is no cron expression: {str(error).lower()}"
    return None if first is not None else "names a date that never comes"


def zone_problem(name: str) -> str | None:
    """Why this is no time zone, or None."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "is no time zone that is known here; use a name such as Europe/Berlin or UTC"
    return None


def _frozen_at(windows: Sequence[FreezeWindow], at: int) -> bool:
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return bool(windows) and _longest(windows, moment)[1] > moment


def _require_readable(windows: Sequence[FreezeWindow]) -> None:
    errors = [error for number, window in enumerate(windows) for error in _errors(number, window)]
    if errors:
        fields = ", ".join(error.field for error in errors)
        raise ValidationFailed(f"The freeze windows cannot be read. Correct {fields} in the service.", errors)


def _errors(number: int, window: FreezeWindow) -> list[FieldError]:
    return [
        FieldError(field=f"windows.{number}.{name}", message=problem)
        for name, problem in _problems(window.cron, window.timezone)
    ]


def _problems(cron: object, timezone: object) -> list[tuple[str, str]]:
    found = (
        ("cron", cron_problem(cron) if isinstance(cron, str) else None),
        ("timezone", zone_problem(timezone) if isinstance(timezone, str) else None),
    )
    return [(name, problem) for name, problem in found if problem is not None]


def _member(data: object, name: str) -> object:
    return cast("dict[str, object]", data).get(name) if isinstance(data, dict) else None


def _items(data: object, name: str) -> list[object]:
    items = _member(data, name)
    return cast("list[object]", items) if isinstance(items, list) else []


def _on_until(windows: Sequence[FreezeWindow], at: datetime) -> tuple[str | None, datetime | None]:
    """The name of the window that is on longest, and when none is on any more."""
    name, end = _longest(windows, at)
    if end <= at:
        return None, None
    for _ in range(max(1, _EXTENSIONS // len(windows))):
        _, later = _longest(windows, end)
        if later <= end or end >= at + _YEAR:
            break
        end = later
    return name, end


def _longest(windows: Sequence[FreezeWindow], at: datetime) -> tuple[str | None, datetime]:
    """The window that is on at this moment and ends last; ``at`` itself when none is on."""
    name, end = None, at
    for window in windows:
        began = _last_moment(window, at)
        if began is not None and (ends := _end(window, began)) > end:
            name, end = window.name, ends
    return name, end


def _end(window: FreezeWindow, began: datetime) -> datetime:
    """In UTC. Within one time zone, a duration is added to what the clock on the wall shows."""
    begins = began.astimezone(ZoneInfo(window.timezone))
    ends = begins + timedelta(seconds=window.duration_seconds)
    return ends.replace(fold=begins.fold).astimezone(UTC)


def _last_moment(window: FreezeWindow, at: datetime) -> datetime | None:
    """The latest cron moment that is not after ``at``, if its freeze can still be on."""
    zone = ZoneInfo(window.timezone)
    # Looking back, cronsim counts by the clock on the wall: begin where no clock has shown a later time before ``at``.
    turned_back = max(timedelta(), _offset(zone, at - _TURN_BACK) - _offset(zone, at))
    backwards = _moments(window, zone, at + turned_back + _SECOND, reverse=True)
    last = next((moment for moment in islice(backwards, _MOMENTS) if moment <= at), None)
    if last is None:
        return None
    # A repeated hour looks shorter from behind than it is: go on from what was found, in the direction of time.
    for moment in islice(_moments(window, zone, last), _MOMENTS):
        if moment > at:
            break
        last = max(last, moment)
    return last


def _next_begin(windows: Sequence[FreezeWindow], after: datetime, limit: datetime) -> datetime | None:
    begins: list[datetime] = []
    for window in windows:
        following = _moments(window, ZoneInfo(window.timezone), after)
        moment = next((moment for moment in islice(following, _MOMENTS) if moment > after), None)
        if moment is not None and moment <= limit:
            begins.append(moment)
    return min(begins, default=None)


def _moments(window: FreezeWindow, zone: ZoneInfo, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """The cron moments from ``start`` on, in UTC. Around a repeated hour, some lie on the other side of ``start``."""
    return (moment.astimezone(UTC) for moment in CronSim(window.cron, start.astimezone(zone), reverse=reverse))


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _millis(at: datetime) -> int:
    return int(at.timestamp()) * 1000
