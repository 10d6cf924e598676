"""Areas: one or two courses over time, the higher behind the lower. Pure.

Deliberately not here: stacked amounts (``bars``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from api.dashboard.drawings.bars import WIDTH, below, height_of, hit, nice_top, number, picture, scale

_LEFT = 40
_LABELS = 6
MOST_POINTS = 500


@dataclass(frozen=True, slots=True)
class Course:
    """One course: its name, class (``busy``, ``wait``, …) and amounts; None where nothing was measured."""

    name: str
    tone: str
    amounts: Sequence[float | None]


def areas(
    name: str, title: str, words: str, labels: Sequence[str], courses: Sequence[Course], unit: str = ""
) -> Markup:
    """The courses over ``labels``, as many as these. ``name``: unique on the page; ``words``: what they tell."""
    labels = labels[-MOST_POINTS:]
    shown = [Course(each.name, each.tone, each.amounts[-MOST_POINTS:]) for each in courses]
    most = max((amount for each in shown for amount in each.amounts if amount is not None), default=0)
    top, step = nice_top(most), (WIDTH - _LEFT) / max(len(labels), 1)
    drawn = scale(top, unit)
    for each in shown:
        drawn += "".join(_run(each.tone, run, step, top) for run in _runs(each.amounts))
    every = -(-len(labels) // _LABELS) or 1
    for place, label in enumerate(labels):
        told = "; ".join(f"{each.name} {_said(each.amounts, place, unit)}" for each in shown)
        drawn += hit(_LEFT + place * step, step, f"{label}: {told}")
        if place % every == 0:
            drawn += below(_LEFT + (place + 0.5) * step, label)
    return picture(name, title, words, drawn)


def _runs(amounts: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """What was measured without a gap."""
    runs: list[list[tuple[int, float]]] = [[]]
    for place, amount in enumerate(amounts):
        if amount is None:
            runs.append([])
        else:
            runs[-1].append((place, amount))
    return [run for run in runs if run]


def _run(tone: str, run: Sequence[tuple[int, float]], step: float, top: float) -> str:
    """A measured hour is flat, so that one alone is seen."""
    points = [
        f"{number(_LEFT + (place + side) * step)},{number(height_of(amount, top))}"
        for place, amount in run
        for side in (0, 1)
    ]
    first, last = _LEFT + run[0][0] * step, _LEFT + (run[-1][0] + 1) * step
    ground = number(height_of(0, top))
    around = f"{number(first)},{ground} {' '.join(points)} {number(last)},{ground}"
    return (
        f'<polygon class="area fill-{tone}" points="{around}"/>'
        f'<polyline class="stroke-{tone}" points="{" ".join(points)}"/>'
    )


def _said(amounts: Sequence[float | None], place: int, unit: str) -> str:
    amount = amounts[place] if place < len(amounts) else None
    return "nothing" if amount is None else f"{number(amount)}{unit}"
