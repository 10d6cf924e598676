"""What `hybridci doctor` found: a line for each part, how it is and what to do."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from api.cli.output import say
from workflows.contracts.fields import without_misleading

_WIDTH: Final = 79
_REASON_LENGTH: Final = 120


class Grade(StrEnum):
    """How a part is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


EXIT_CODES: Final = {Grade.OK: 0, Grade.WARN: 1, Grade.BAD: 2}
_MARKS: Final = {Grade.OK: "ok  ", Grade.WARN: "warn", Grade.BAD: "BAD "}


@dataclass(frozen=True, slots=True)
class PartFinding:
    """A part and how it is. ``advice``: what to do, empty when nothing is."""

    grade: Grade
    part: str
    words: str
    advice: str = ""


def ok(part: str, words: str) -> PartFinding:
    """It is well."""
    return PartFinding(Grade.OK, part, words)


def warn(part: str, words: str, advice: str) -> PartFinding:
    """It works, and somebody should look."""
    return PartFinding(Grade.WARN, part, words, advice)


def bad(part: str, words: str, advice: str) -> PartFinding:
    """It does not work."""
    return PartFinding(Grade.BAD, part, words, advice)


def readable(part: str, check: Callable[[], Iterable[PartFinding]], advice: str) -> Iterator[PartFinding]:
    """What a check finds; where it meets what it cannot read, that is what is wrong with its part, and no more."""
    try:
        yield from check()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError) as error:
        first = without_misleading(str(error).partition("\n")[0], lines=False)[:_REASON_LENGTH]
        yield bad(part, f"says what this command cannot read ({type(error).__name__}: {first})", advice)


def worst(findings: Sequence[PartFinding]) -> Grade:
    """Of all."""
    return max((each.grade for each in findings), key=lambda grade: EXIT_CODES[grade], default=Grade.OK)


def tell(finding: PartFinding) -> None:
    """To people: its line, and below it what to do. Commands stay on one line."""
    head = f"{_MARKS[finding.grade]}  {finding.part}: {' '.join(finding.words.split())}"
    for line in _wrapped(head, "      "):
        say(line)
    if finding.advice:
        for line in _wrapped(f"      -> {finding.advice}", "         "):
            say(line)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
