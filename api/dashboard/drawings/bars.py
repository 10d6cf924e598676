"""Bars: stacked columns over time, and one stacked bar in a row. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Final

from markupsafe import Markup

WIDTH, HEIGHT = 400, 150
_LEFT, _TOP, _BOTTOM = 40, 8, 22
_ROW_WIDTH, _ROW_HEIGHT = 200, 12
MOST_COLUMNS: Final = 200
_NICE: Final = (1, 2, 5, 10)
_LABELS: Final = 6


@dataclass(frozen=True, slots=True)
class BarPart:
    """One part of a bar: how much, and its class (``good``, ``bad``, ``busy``, ``wait``, ``idle``)."""

    amount: float
    tone: str


@dataclass(frozen=True, slots=True)
class BarColumn:
    """One bar: what stands below it, what it says when pointed at, and its parts from below."""

    label: str
    words: str
    parts: Sequence[BarPart]


def columns(name: str, title: str, words: str, bars: Sequence[BarColumn], unit: str = "") -> Markup:
    """Stacked columns, the last ``MOST_COLUMNS`` of them. ``name``: unique on the page; ``words``: what they tell."""
    shown = bars[-MOST_COLUMNS:]
    top = nice_top(max((_sum(bar.parts) for bar in shown), default=0))
    place = (WIDTH - _LEFT) / max(len(shown), 1)
    drawn = Markup("").join(
        _column(bar, _LEFT + number * place, place, top, label=number % ceil(len(shown) / _LABELS) == 0)
        for number, bar in enumerate(shown)
    )
    return picture(name, title, words, scale(top, unit) + drawn)


def row(parts: Iterable[BarPart], most: float) -> Markup:
    """One stacked bar of a table, of ``most`` in the whole width: it repeats what stands beside it."""
    at, drawn = 0.0, Markup("")
    for part in parts:
        width = _ROW_WIDTH * min(max(part.amount, 0) / most, 1) if most > 0 else 0
        width = min(width, _ROW_WIDTH - at)
        drawn += Markup('<rect class="{}" x="{}" y="0" width="{}" height="{}"/>').format(
            f"fill-{part.tone}", number(at), number(width), _ROW_HEIGHT
        )
        at += width
    return Markup(
        '<svg class="bar" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true"><rect class="fill-none" '
        'x="0" y="0" width="{}" height="{}"/>{}</svg>'
    ).format(_ROW_WIDTH, _ROW_HEIGHT, _ROW_WIDTH, _ROW_HEIGHT, drawn)


def picture(name: str, title: str, words: str, drawn: Markup) -> Markup:
    """A chart with its title and description."""
    return Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-title {n}-words">'
        '<title id="{n}-title">{title}</title><desc id="{n}-words">{words}</desc>{drawn}</svg>'
    ).format(w=WIDTH, h=HEIGHT, n=name, title=title, words=words, drawn=drawn)


def scale(top: float, unit: str = "") -> Markup:
    """The lines at nothing, the half and the top, with their numbers."""
    lines = Markup("")
    for share in (0.0, 0.5, 1.0):
        y = height_of(share * top, top)
        lines += Markup(
            '<line class="axis" x1="{x}" y1="{y}" x2="{w}" y2="{y}"/><text class="tick" x="{t}" y="{b}">{v}</text>'
        ).format(x=_LEFT, y=number(y), w=WIDTH, t=_LEFT - 5, b=number(y + 4), v=f"{number(share * top)}{unit}")
    return lines


def below(x: float, label: str) -> Markup:
    """A label below the chart."""
    return Markup('<text class="tick below" x="{}" y="{}">{}</text>').format(number(x), HEIGHT - 6, label)


def height_of(amount: float, top: float) -> float:
    """Where on the page an amount stands, from above."""
    room = HEIGHT - _TOP - _BOTTOM
    return _TOP + room * (1 - min(max(amount / top, 0), 1))


def nice_top(most: float) -> float:
    """The next round number, at least 1: so that scales of small and of large numbers can be read."""
    if most <= 1:
        return 1
    power = 10.0 ** int(log10(most))
    return next(step * power for step in _NICE if step * power >= most)


def number(value: float) -> str:
    """Short: ``12``, ``0.5``, ``20k``."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{round(value, 2):g}"


def _column(bar: BarColumn, x: float, place: float, top: float, *, label: bool) -> Markup:
    width, drawn, amount = max(place * 0.7, 1), Markup(""), 0.0
    for part in bar.parts:
        if part.amount <= 0:
            continue
        low, high = height_of(amount, top), height_of(amount + part.amount, top)
        amount += part.amount
        drawn += Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
            f"fill-{part.tone}", number(x + (place - width) / 2), number(high), number(width), number(low - high)
        )
    words = Markup('<rect class="hit" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
        number(x), _TOP, number(place), HEIGHT - _TOP - _BOTTOM, bar.words
    )
    return drawn + words + (below(x + place / 2, bar.label) if label else Markup(""))


def _sum(parts: Sequence[BarPart]) -> float:
    return sum(max(part.amount, 0) for part in parts)
