"""What stops rollouts in the days to come, drawn: a row for each freeze, hold or window, a column for each day (UTC).

Pure. Whoever does not see it has the same as a table on the page. Deliberately not here: what stands in it
(``api.line.calendar``), colours (``static/house.css``, by class).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from markupsafe import Markup

from api.dashboard.outside import in_plain

_DAY_MS: Final = 24 * 3600 * 1000
_LABEL: Final = 190
_DAY: Final = 28
_ROW: Final = 26
_HEAD: Final = 34
_MOST_ROWS: Final = 40
_MOST_SPANS: Final = 200
_MOST_DAYS: Final = 92
_SHOWN: Final = 26
"""Characters of a name that fit beside the days."""
_NARROWEST: Final = 3
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """One thing that is on at these times (ms; no end: until it is released). ``kind`` is its class in the drawing."""

    label: str
    kind: str
    told: str
    spans: list[tuple[int, int | None]] = field(default_factory=list[tuple[int, int | None]])


def calendar_svg(rows: Sequence[CalendarRow], since: int, days: int, *, label: str) -> Markup:
    """``since``: the moment with which it begins; its day is the first column."""
    days = min(max(days, 1), _MOST_DAYS)
    first = since - since % _DAY_MS
    shown = rows[:_MOST_ROWS]
    width, height = _LABEL + days * _DAY, _HEAD + max(len(shown), 1) * _ROW
    body = Markup("").join([*_days(first, days, height), _now(since, first, height), *_rows(shown, first, days)])
    return Markup(
        '<svg class="calendar" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' aria-label="{label}">{body}</svg>'
    ).format(width=width, height=height, label=label, body=body)


def _days(first: int, days: int, height: int) -> list[Markup]:
    begin = datetime.fromtimestamp(first / 1000, UTC)
    drawn: list[Markup] = []
    for number in range(days):
        day, x = begin + timedelta(days=number), _LABEL + number * _DAY
        if day.weekday() >= _SATURDAY:
            drawn.append(Markup('<rect class="weekend" x="{}" y="0" width="{}" height="{}"/>').format(x, _DAY, height))
        if number == 0 or day.day == 1:
            drawn.append(Markup('<text class="month" x="{}" y="12">{}</text>').format(x + 2, day.strftime("%b")))
        drawn.append(
            Markup('<text class="day" x="{}" y="27" text-anchor="middle">{}</text>').format(x + _DAY // 2, day.day)
        )
    return drawn


def _now(since: int, first: int, height: int) -> Markup:
    x = _LABEL + (since - first) / _DAY_MS * _DAY
    return Markup('<line class="now" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(x, _HEAD - 4, height)


def _rows(rows: Sequence[CalendarRow], first: int, days: int) -> list[Markup]:
    drawn: list[Markup] = []
    for number, row in enumerate(rows):
        y = _HEAD + number * _ROW
        drawn.append(
            Markup('<g><title>{told}</title><line class="rule" x1="0" x2="{end}" y1="{y}" y2="{y}"/>').format(
                told=in_plain(row.told), end=_LABEL + days * _DAY, y=y
            )
            + Markup('<text class="row" x="2" y="{}">{}</text>').format(y + 17, in_plain(_short(row.label)))
        )
        drawn += [_bar(row.kind, span, y, first, days) for span in row.spans[:_MOST_SPANS]]
        drawn.append(Markup("</g>"))
    return drawn


def _bar(kind: str, span: tuple[int, int | None], y: int, first: int, days: int) -> Markup:
    last = first + days * _DAY_MS
    begins, ends = max(span[0], first), last if span[1] is None else min(span[1], last)
    if ends <= begins:
        return Markup("")
    x = _LABEL + (begins - first) / _DAY_MS * _DAY
    width = max((ends - begins) / _DAY_MS * _DAY, _NARROWEST)
    return Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="2"/>').format(
        kind, x, y + 5, width, _ROW - 10
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
