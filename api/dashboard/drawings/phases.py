"""Phases: boxes in the order in which they are passed, in frames that name where, and the way back below them. Pure.

Deliberately not here: which phases a deployment has (``api.dashboard.deployments.way``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from api.dashboard.outside import in_plain

BOX_WIDTH, BOX_HEIGHT = 124, 48
_GAP, _PAD, _TOP = 22, 10, 24
_BETWEEN: Final = 18
_BACK_HEIGHT: Final = 74
_LETTERS: Final = 17
MOST_BOXES: Final = 60
_SMALL: Final = 640
"""A narrower drawing is shown as large as it is; a wider one may be drawn smaller, but for this width."""
ICONS: Final = {
    "done": "✓", "now": "▶", "wait": "…", "todo": "·", "failed": "✗", "back": "↩",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Box:
    """One phase. ``state``: a key of ``ICONS``; ``words``: the state for people; ``href``: where more is told."""

    name: str
    state: str
    words: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """The phases of one place."""

    name: str
    boxes: Sequence[Box]


def phases(name: str, title: str, words: str, frames: Sequence[Frame], back: Box | None = None) -> Markup:
    """``name``: unique on the page; ``words``: the whole in a sentence. ``back``: the way back, below the last one."""
    drawn, x, ends = Markup(""), 0.0, list[float]()
    room = MOST_BOXES
    for frame in frames:
        boxes = list(frame.boxes)[:room]
        room -= len(boxes)
        if not boxes:
            continue
        if ends:
            drawn += _arrow(x - _BETWEEN, x)
        width = 2 * _PAD + len(boxes) * BOX_WIDTH + (len(boxes) - 1) * _GAP
        drawn += _frame(frame.name, x, width)
        for place, box in enumerate(boxes):
            at = x + _PAD + place * (BOX_WIDTH + _GAP)
            drawn += _arrow(at - _GAP, at) if place else Markup("")
            drawn += _box(box, at, _TOP + _PAD)
        ends.append(x + width)
        x += width + _BETWEEN
    width, height = (ends[-1] if ends else BOX_WIDTH), _TOP + BOX_HEIGHT + 2 * _PAD
    if back is not None:
        drawn += _way_back(back, width, height)
        height += _BACK_HEIGHT
    return Markup(
        '<svg class="phases{small}" viewBox="-2 -2 {w} {h}" width="{w}" role="img"'
        ' aria-labelledby="{n}-title {n}-words">'
        '<title id="{n}-title">{title}</title><desc id="{n}-words">{words}</desc>{drawn}</svg>'
    ).format(
        w=_number(width + 4),
        h=_number(height + 4),
        n=name,
        title=in_plain(title),
        words=in_plain(words),
        drawn=drawn,
        small=" small" if width < _SMALL else "",
    )


def _frame(name: str, x: float, width: float) -> Markup:
    return Markup(
        '<text class="where" x="{}" y="14">{}</text><rect class="frame" x="{}" y="{}" width="{}" height="{}" rx="8"/>'
    ).format(_number(x + 2), in_plain(_cut(name, 40)), _number(x), _TOP, _number(width), BOX_HEIGHT + 2 * _PAD)


def _box(box: Box, x: float, y: float) -> Markup:
    state = box.state if box.state in ICONS else "todo"
    drawn = Markup(
        '<g class="box-{state}"><title>{whole}</title>'
        '<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6"/>'
        '<text class="name" x="{tx}" y="{ny}">{name}</text>'
        '<text class="state" x="{tx}" y="{sy}">{icon} {words}</text></g>'
    ).format(
        state=state,
        whole=in_plain(f"{box.name}: {box.words}"),
        x=_number(x),
        y=_number(y),
        w=BOX_WIDTH,
        h=BOX_HEIGHT,
        tx=_number(x + 10),
        ny=_number(y + 19),
        sy=_number(y + 37),
        name=in_plain(_cut(box.name, _LETTERS)),
        icon=ICONS[state],
        words=in_plain(_cut(box.words, _LETTERS)),
    )
    return drawn if box.href is None else Markup('<a href="{}">{}</a>').format(box.href, drawn)


def _way_back(back: Box, width: float, height: float) -> Markup:
    """From the last frame down and to the left, where the box stands."""
    x = max(width - _PAD - 2 * BOX_WIDTH - _GAP, 0)
    y = height + _BACK_HEIGHT - BOX_HEIGHT
    down, middle = width - _PAD - BOX_WIDTH / 2, y + BOX_HEIGHT / 2
    path = Markup('<path class="way back" d="M{} {} V{} H{}"/>').format(
        _number(down), _number(height), _number(middle), _number(x + BOX_WIDTH + 6)
    )
    return path + _head(x + BOX_WIDTH, middle, left=True) + _box(back, x, y)


def _arrow(start: float, end: float) -> Markup:
    y = _TOP + _PAD + BOX_HEIGHT / 2
    line = Markup('<path class="way" d="M{} {} H{}"/>').format(_number(start), _number(y), _number(end - 6))
    return line + _head(end, y)


def _head(x: float, y: float, *, left: bool = False) -> Markup:
    side = 7 if left else -7
    return Markup('<path class="head" d="M{} {} L{} {} L{} {} Z"/>').format(
        _number(x), _number(y), _number(x + side), _number(y - 4), _number(x + side), _number(y + 4)
    )


def _cut(text: str, letters: int) -> str:
    """The whole stands in the title, and in the page's own words."""
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _number(value: float) -> str:
    return f"{value:g}"
