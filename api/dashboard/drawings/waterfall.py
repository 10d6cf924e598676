"""A waterfall: one bar a phase, each where it was in the attempt's time, so that a look tells what took long. Pure.

A bar stands in the row of a table that says the same in words, so it is hidden from who reads those. A wait that is
longer than all the work is drawn shorter, with a gap, and the row says how long it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

WIDTH, HEIGHT = 1000, 16
MOST_BARS: Final = 200
_LEAST: Final = 4
_WAIT_PART: Final = 0.35
"""Of the drawing's width, for a wait that would take more."""
_LATEST: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class WaterfallPhase:
    """What was done from ``start`` to ``end`` (epoch ms). ``tone``: good, bad, busy, wait or idle. ``waits``: nobody
    worked yet.
    """

    name: str
    tone: str
    start: int
    end: int
    waits: bool = False

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0, self.end - self.start) / 1000


def waterfall(phases: Sequence[WaterfallPhase]) -> list[Markup]:
    """A drawing for each phase, on one scale; of the first MOST_BARS."""
    shown = phases[:MOST_BARS]
    if not shown:
        return []
    works = [phase for phase in shown if not phase.waits] or shown
    begin = min(_bounded(phase.start) for phase in works)
    end = max(_bounded(phase.end) for phase in works)
    waited = max((_bounded(phase.end) - _bounded(phase.start) for phase in shown if phase.waits), default=0)
    span, room = max(1, end - begin), 0.0
    if waited and works is not shown:
        room = min(_WAIT_PART, waited / (waited + span))
    left = WIDTH * room
    scale = (WIDTH - left) / span
    return [_bar(phase, begin, left, scale, cut=room == _WAIT_PART) for phase in shown]


def _bar(phase: WaterfallPhase, begin: int, left: float, scale: float, *, cut: bool) -> Markup:
    if phase.waits and left:
        x, width = 0.0, left
    else:
        x = left + (_bounded(phase.start) - begin) * scale
        width = (_bounded(phase.end) - _bounded(phase.start)) * scale
    width = max(width, _LEAST)
    x = min(max(x, 0), WIDTH - width)
    gap = Markup('<rect class="gap" x="{}" y="0" width="10" height="{}"/>').format(round(left / 2, 1), HEIGHT)
    return Markup(
        '<svg class="bar" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="tone-{}" x="{}" y="2" width="{}" height="{}"/>{}</svg>'
    ).format(
        WIDTH, HEIGHT, phase.tone, round(x, 1), round(width, 1), HEIGHT - 4,
        gap if phase.waits and cut else "",
    )  # fmt: skip


def _bounded(at: int) -> int:
    return min(max(at, 0), _LATEST)
