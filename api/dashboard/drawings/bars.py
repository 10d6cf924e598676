"""Bars: stacked columns over time, and one stacked bar in a row. Pure.

Parts of a drawing are text, of numbers, our own words and what is escaped: joined at once, they cost a tenth of what
``Markup.format`` of each takes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Final

from markupsafe import Markup, escape

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
    drawn = "".join(
        _column(bar, _LEFT + number * place, place, top, label=number % ceil(len(shown) / _LABELS) == 0)
        for number, bar in enumerate(shown)
    )
    return picture(name, title, words, scale(top, unit) + drawn)


def row(parts: Iterable[BarPart], most: float) -> Markup:
    """One stacked bar of a table, of ``most`` in the whole width: it repeats what stands beside it."""
    at, drawn = 0.0, ""
    for part in parts:
        width = _ROW_WIDTH * min(max(part.amount, 0) / most, 1) if most > 0 else 0
        width = min(width, _ROW_WIDTH - at)
        drawn += (
            f'<rect class="fill-{part.tone}" x="{number(at)}" y="0" width="{number(width)}" height="{_ROW_HEIGHT}"/>'
        )
        at += width
    return Markup(  # noqa: S704 - of numbers and our own words
        f'<svg class="bar" viewBox="0 0 {_ROW_WIDTH} {_ROW_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="fill-none" x="0" y="0" width="{_ROW_WIDTH}" height="{_ROW_HEIGHT}"/>{drawn}</svg>'
    )


def picture(name: str, title: str, words: str, drawn: str) -> Markup:
    """A chart with its title and description. ``drawn``: HTML, whose texts are escaped."""
    return Markup(  # noqa: S704 - what is not drawn here is escaped
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title {name}-words">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-words">{escape(words)}</desc>{drawn}</svg>'
    )


def scale(top: float, unit: str = "") -> str:
    """The lines at nothing, the half and the top, with their numbers. HTML."""
    lines = ""
    for share in (0.0, 0.5, 1.0):
        y = height_of(share * top, top)
        lines += (
            f'<line class="axis" x1="{_LEFT}" y1="{number(y)}" x2="{WIDTH}" y2="{number(y)}"/>'
            f'<text class="tick" x="{_LEFT - 5}" y="{number(y + 4)}">{number(share * top)}{escape(unit)}</text>'
        )
    return lines


def below(x: float, label: str) -> str:
    """A label below the chart. HTML."""
    return f'<text class="tick below" x="{number(x)}" y="{HEIGHT - 6}">{escape(label)}</text>'


def hit(x: float, width: float, words: str) -> str:
    """What is said of a column that is pointed at. HTML."""
    return (
        f'<rect class="hit" x="{number(x)}" y="{_TOP}" width="{number(width)}" height="{HEIGHT - _TOP - _BOTTOM}">'
        f"<title>{escape(words)}</title></rect>"
    )


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


def _column(bar: BarColumn, x: float, place: float, top: float, *, label: bool) -> str:
    width, drawn, amount = max(place * 0.7, 1), "", 0.0
    for part in bar.parts:
        if part.amount <= 0:
            continue
        low, high = height_of(amount, top), height_of(amount + part.amount, top)
        amount += part.amount
        drawn += (
            f'<rect class="fill-{part.tone}" x="{number(x + (place - width) / 2)}" y="{number(high)}" '
            f'width="{number(width)}" height="{number(low - high)}"/>'
        )
    return f"{drawn}{hit(x, place, bar.words)}{below(x + place / 2, bar.label) if label else ''}"


def _sum(parts: Sequence[BarPart]) -> float:
    return sum(max(part.amount, 0) for part in parts)
