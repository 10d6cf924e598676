"""Lines of a log as HTML: colours as classes, progress bars folded, what would mislead made visible. Pure.

A log is a stranger's bytes. Everything is escaped; no style stands in it (the page's policy allows none); true colour
becomes the nearest of the 256. Escape sequences that move a cursor or name a window are left out: the raw log has them.
Deliberately not here: which lines (``routes.logs``), showing them (``static/log.js``).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup, escape

MOST_CHARACTERS: Final = 20_000
"""Of a line; the rest is in the raw log."""
MOST_SPANS: Final = 20_000
"""Of one answer: what comes behind them has no colours, and a `?` for each character that would mislead."""
_TIMED: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ")
_SEQUENCE: Final = re.compile(
    r"\x1b\[(?P<sgr>[0-9;:]{0,100})m"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # what else a control sequence says
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # an operating system command: a title, a link's address
    r"|\x1b[@-_]?"
)
_MISLEADING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""As of ``outside``, but for what chooses the look of a sign before it (U+FE0F): tools write ``✔️``."""
_STEPS: Final = (0, 95, 135, 175, 215, 255)


@dataclass(slots=True)
class _Budget:
    """How many spans may still be made: a log that is all colours or all codes must not hold up the server."""

    left: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: its number, when it was written (as the agent says), its HTML."""

    number: int
    time: str | None
    html: Markup


@dataclass(frozen=True, slots=True)
class _Look:
    fore: int | None = None
    back: int | None = None
    marks: frozenset[str] = frozenset()

    def classes(self) -> str:
        """``f1 b240 bold``."""
        colours = [f"{kind}{number}" for kind, number in (("f", self.fore), ("b", self.back)) if number is not None]
        return " ".join([*colours, *sorted(self.marks)])


_MOST_DIGITS: Final = 4
_MARKS: Final = {1: "bold", 2: "dim", 3: "italic", 4: "under", 7: "inverse", 9: "struck"}
_ENDS: Final = {22: {"bold", "dim"}, 23: {"italic"}, 24: {"under"}, 27: {"inverse"}, 29: {"struck"}}


def lines_of(body: bytes, first: int, *, timed: bool) -> list[LogLine]:
    """``body``: whole lines, of which ``first`` is the number of the first. ``timed``: each begins with its time."""
    text = body.decode("utf-8", "backslashreplace")
    found, look, budget = list[LogLine](), _Look(), _Budget(MOST_SPANS)
    parts = text.split("\n")
    if parts and not parts[-1]:
        parts.pop()
    for number, part in enumerate(parts, start=first):
        moment = _TIMED.match(part) if timed else None
        html, look = _html(part[moment.end() :] if moment else part, look, budget)
        found.append(LogLine(number, moment[1] if moment else None, html))
    return found


def colour_rules() -> str:
    """The style sheet's rules for the 256 colours."""
    return "".join(
        f".f{number}{{color:{_css(number)}}}.b{number}{{background:{_css(number)}}}" for number in range(256)
    )


def _html(line: str, look: _Look, budget: _Budget) -> tuple[Markup, _Look]:
    """The line as it stands at last, and the look that it leaves behind."""
    drawn = line.rstrip("\r").split("\r")
    earlier = len([each for each in drawn[:-1] if each])
    shown = drawn[-1] or next((each for each in reversed(drawn) if each), "")
    more = len(shown) - MOST_CHARACTERS
    html, after = _coloured(shown[:MOST_CHARACTERS], look, budget)
    if more > 0:
        html += Markup('<span class="note"> … {} characters more: see the raw log</span>').format(more)
    if earlier:
        html = Markup('<span class="note" title="Redrawn with carriage returns">↻{} </span>').format(earlier) + html
    return html, after


def _coloured(text: str, look: _Look, budget: _Budget) -> tuple[Markup, _Look]:
    out, position = list[Markup](), 0
    for found in _SEQUENCE.finditer(text):
        if budget.left <= 0:
            break
        budget.left -= 1
        out.append(_span(text[position : found.start()], look, budget))
        position = found.end()
        if found["sgr"] is not None:
            look = _after(look, found["sgr"])
    rest = text[position:]
    out.append(_span(rest if budget.left > 0 else _SEQUENCE.sub("", rest), look, budget))
    return Markup("").join(out), look


def _span(text: str, look: _Look, budget: _Budget) -> Markup:
    if not text:
        return Markup("")
    parts, position = list[Markup](), 0
    for odd in _MISLEADING.finditer(text):
        if budget.left <= 0:
            break
        budget.left -= 1
        parts.append(escape(text[position : odd.start()]))
        parts.append(Markup('<span class="odd">{}</span>').format(f"U+{ord(odd[0]):04X}"))
        position = odd.end()
    rest = text[position:]
    html = Markup("").join([*parts, escape(rest if budget.left > 0 else _MISLEADING.sub("?", rest))])
    classes = look.classes()
    return Markup('<span class="{}">{}</span>').format(classes, html) if classes else html


def _after(look: _Look, codes: str) -> _Look:
    numbers = iter([int(code) if 0 < len(code) <= _MOST_DIGITS else 0 for code in re.split("[;:]", codes)] or [0])
    for code in numbers:
        if code == 0:
            look = _Look()
        elif code in _MARKS:
            look = replace(look, marks=look.marks | {_MARKS[code]})
        elif code in _ENDS:
            look = replace(look, marks=look.marks - _ENDS[code])
        elif code in {38, 48}:
            colour = _extended(numbers)
            look = replace(look, fore=colour) if code == 38 else replace(look, back=colour)
        else:
            look = _basic(look, code)
    return look


def _basic(look: _Look, code: int) -> _Look:
    """16 colours: 30 to 37 and 90 to 97, the ground 10 higher; 39 and 49 end them."""
    if 30 <= code <= 37 or 90 <= code <= 97:
        return replace(look, fore=code - 30 if code < 90 else code - 82)
    if 40 <= code <= 47 or 100 <= code <= 107:
        return replace(look, back=code - 40 if code < 100 else code - 92)
    if code == 39:
        return replace(look, fore=None)
    return replace(look, back=None) if code == 49 else look


def _extended(numbers: Iterator[int]) -> int | None:
    """``5;N`` is one of the 256, ``2;R;G;B`` a true colour."""
    kind = next(numbers, 0)
    if kind == 5:
        return min(next(numbers, 0), 255)
    if kind == 2:
        red, green, blue = (min(next(numbers, 0), 255) for _ in range(3))
        return 16 + 36 * _step(red) + 6 * _step(green) + _step(blue)
    return None


def _step(value: int) -> int:
    return min(range(6), key=lambda index: abs(_STEPS[index] - value))


_SIXTEEN: Final = (
    "#767c88", "#ff7b72", "#5fd38d", "#e3b341", "#79b8ff", "#d2a8ff", "#56d4dd", "#d6dae0",
    "#8b929e", "#ffa198", "#7ee2a8", "#f2cc60", "#a5d0ff", "#e2c5ff", "#8ae9ef", "#ffffff",
)  # fmt: skip
"""Each is readable on the log's dark ground."""


def _css(number: int) -> str:
    if number < 16:
        return _SIXTEEN[number]
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return f"#{grey:02x}{grey:02x}{grey:02x}"
    red, green, blue = (_STEPS[(number - 16) // divisor % 6] for divisor in (36, 6, 1))
    return f"#{red:02x}{green:02x}{blue:02x}"
