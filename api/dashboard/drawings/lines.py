"""Lines: what was measured over time, with the limits that it is held to, and each sample beyond one marked. Pure.

Deliberately not here: which samples and limits (``api.dashboard.deployments.measured``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, log10
from typing import Final

from markupsafe import Markup

from api.dashboard.outside import in_plain

WIDTH, HEIGHT = 640, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 26
MOST_POINTS: Final = 1000
MOST_LINES: Final = 6
_TICKS: Final = 4
_DAY_MS: Final = 86_400_000
_LARGEST: Final = 1e100
"""What is beyond is not drawn: a scale to it says nothing of the rest."""


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """A sample: when (epoch ms), how much, and whether it is beyond a limit."""

    at: int
    value: float
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class MeasuredLine:
    """The samples of one source, the oldest first."""

    name: str
    points: Sequence[MeasuredPoint]


@dataclass(frozen=True, slots=True)
class HeldTo:
    """What the values are held to: ``at most 0.02``."""

    words: str
    value: float


def lines(name: str, title: str, words: str, shown: Sequence[MeasuredLine], limits: Sequence[HeldTo] = ()) -> Markup:
    """``name``: unique on the page; ``words``: what it tells. At most ``MOST_LINES`` of ``MOST_POINTS`` last points."""
    kept = [MeasuredLine(each.name, _drawable(each.points)) for each in shown[:MOST_LINES]]
    held = [limit for limit in limits if abs(limit.value) <= _LARGEST]
    points = [point for each in kept for point in each.points]
    low, high = _range([*(point.value for point in points), *(limit.value for limit in held)])
    first = min((point.at for point in points), default=0)
    last = max(max((point.at for point in points), default=1), first + 1)

    def x(at: int) -> float:
        return _LEFT + (at - first) / (last - first) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (1 - (value - low) / (high - low)) * (HEIGHT - _TOP - _BOTTOM)

    drawn = _scale(low, high, y) + _times(first, last)
    for limit in held:
        drawn += Markup(
            '<line class="limit" x1="{}" y1="{y}" x2="{}" y2="{y}"/><text class="limit-words" x="{}" y="{t}">{}</text>'
        ).format(
            _LEFT,
            WIDTH - _RIGHT,
            WIDTH - _RIGHT - 2,
            in_plain(limit.words),
            y=_number(y(limit.value)),
            t=_above(y(limit.value)),
        )
    for number, each in enumerate(kept):
        route = " ".join(f"{_number(x(point.at))},{_number(y(point.value))}" for point in each.points)
        drawn += Markup('<polyline class="line line-{}" points="{}"/>').format(number, route)
        for point in each.points:
            drawn += _dot(each.name, point, number, x(point.at), y(point.value))
    return Markup(
        '<svg class="lines" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-title {n}-words">'
        '<title id="{n}-title">{title}</title><desc id="{n}-words">{words}</desc>{drawn}</svg>'
    ).format(w=WIDTH, h=HEIGHT, n=name, title=in_plain(title), words=in_plain(words), drawn=drawn)


def _drawable(points: Sequence[MeasuredPoint]) -> list[MeasuredPoint]:
    return [point for point in points if abs(point.value) <= _LARGEST][-MOST_POINTS:]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From nothing, where all is above it, to a little more than the most."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = 0.0 if low >= 0 else low
    room = high - low or abs(high) or 1.0
    return (low if low == 0 else low - room * 0.08), high + room * 0.12


def _dot(name: str, point: MeasuredPoint, number: int, x: float, y: float) -> Markup:
    beyond = " beyond" if point.beyond else ""
    told = f"{name}: {point.value:g} at {_moment(point.at)}{', beyond the limit' if point.beyond else ''}"
    if point.beyond:  # another form besides another colour
        shape = Markup('<path d="M{} {} l5 9 h-10 Z"/>').format(_number(x), _number(y - 6))
    else:
        shape = Markup('<circle cx="{}" cy="{}" r="2.5"/>').format(_number(x), _number(y))
    return Markup('<g class="dot dot-{}{}"><title>{}</title>{}</g>').format(number, beyond, in_plain(told), shape)


def _scale(low: float, high: float, y: Callable[[float], float]) -> Markup:
    step = _nice((high - low) / _TICKS)
    begin, drawn = floor(low / step), Markup("")
    for value in ((begin + place) * step for place in range(3 * _TICKS)):
        if low <= value <= high:
            at = y(value)
            drawn += Markup(
                '<line class="axis" x1="{}" y1="{y}" x2="{}" y2="{y}"/><text class="tick" x="{}" y="{t}">{}</text>'
            ).format(_LEFT, WIDTH - _RIGHT, _LEFT - 6, _short(value), y=_number(at), t=_number(at + 4))
    return drawn


def _times(first: int, last: int) -> Markup:
    far = last - first > _DAY_MS
    return Markup(
        '<text class="tick from" x="{}" y="{y}">{}</text><text class="tick" x="{}" y="{y}">{} UTC</text>'
    ).format(_LEFT, _moment(first, far=far), WIDTH - _RIGHT, _moment(last, far=far), y=HEIGHT - 8)


def _moment(at: int, *, far: bool = False) -> str:
    moment = datetime.fromtimestamp(min(max(at, 0), 253_402_300_799_000) / 1000, UTC)
    return moment.strftime("%d %b %H:%M" if far else "%H:%M:%S")


def _nice(step: float) -> float:
    power = 10.0 ** floor(log10(step))
    return next((each * power for each in (1, 2, 5) if each * power >= step), 10 * power)


def _short(value: float) -> str:
    return f"{round(value, 12):.4g}"


def _above(y: float) -> str:
    """Above its line, below it at the very top."""
    return _number(y - 4 if y > 2 * _TOP else y + 12)


def _number(value: float) -> str:
    return f"{round(value, 2):g}"
