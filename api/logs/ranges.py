"""Which part of a log is wanted: lines from either end, or one step's. They become offsets in bytes.

Deliberately not here: how a line is found (``LogStore.places``) and reading (``stream``).
"""

import re
from dataclasses import dataclass
from typing import Final

from activities.stores.interfaces.logs import LinePlace
from api.logs.ports import LogPorts
from workflows.contracts.errors import FieldError, InvalidState, NotFound, ValidationFailed
from workflows.contracts.jobs import Attempt, Job

LINES_PATTERN: Final = r"^-?[1-9][0-9]{0,14}(-(-?[1-9][0-9]{0,14})?)?$"
_LINES: Final = re.compile(r"(-?[0-9]+)(-(-?[0-9]+)?)?")


@dataclass(frozen=True, slots=True)
class LineRange:
    """From line ``first`` to ``last`` (None: to the end), both included; negative numbers count from the end."""

    first: int
    last: int | None

    @classmethod
    def read(cls, text: str) -> "LineRange":
        """``7-9``, ``7-`` (to the end), ``7`` (this one), ``-7`` (the last seven), ``-7--3``; as LINES_PATTERN has it.

        Raises ValidationFailed for one that ends before it begins.
        """
        found = _LINES.fullmatch(text)
        if found is None:
            raise _bad_lines("is no range of lines: write 7-9, 7-, 7, -7 (the last seven) or -7--3")
        first, last = int(found[1]), int(found[3]) if found[3] else None
        if found[2] is None and first > 0:
            last = first
        if last is not None and (first > 0) == (last > 0) and last < first:
            raise _bad_lines(f"ends at line {last}, before it begins at line {first}")
        return cls(first, last)


@dataclass(frozen=True, slots=True)
class LogPart:
    """The bytes from ``start`` to ``end`` (None: to the end); ``lines`` says which lines that are, for a header."""

    start: int
    end: int | None
    lines: str | None = None

    @property
    def open(self) -> bool:
        """True when what is still to come belongs to it."""
        return self.end is None

    def behind(self, place: LinePlace) -> "LogPart":
        """What of it is not before this line; it may be nothing."""
        if place.offset < self.start or (place.offset == self.start and self.lines is not None):
            return self
        end = None if self.end is None else max(place.offset, self.end)
        last = "" if self.lines is None else self.lines.partition("/")[0].rpartition("-")[2]
        return LogPart(place.offset, end, f"{place.line}-{last or place.total}/{place.total}")


async def part_of_lines(ports: LogPorts, job_id: str, attempt: int, wanted: LineRange) -> LogPart:
    """Of what is stored now. Raises Unavailable."""
    behind = None if wanted.last in {None, -1} else wanted.last + 1 if wanted.last is not None else None
    asked = [wanted.first] if behind is None else [wanted.first, behind]
    places = await ports.logs.places(job_id, attempt, asked)
    first, total = places[0], places[0].total
    last = total if behind is None else min(places[1].line - 1, total)
    told = f"{first.line}-{last}/{total}"
    if wanted.last is None:
        return LogPart(first.offset, None, told)
    if behind is None:
        size = (await ports.logs.extent(job_id, attempt)).size
        return LogPart(first.offset, max(size, first.offset), told)
    return LogPart(first.offset, max(places[1].offset, first.offset), told)


def part_of_step(job: Job, attempt: int, step: int) -> LogPart:
    """As the agent said where it is; ``step`` counts from 1. Raises InvalidState, NotFound."""
    tried = next((each for each in job.attempts if each.number == attempt), None)
    if tried is None or tried.outcome is None:
        raise InvalidState(f"Where a step's log is, is known once its attempt has ended; attempt {attempt} has not.")
    place = _place(tried, step)
    if place is None:
        raise NotFound(f"Attempt {attempt} of job {job.job_id} has no log of a step {step}; it has {len(tried.steps)}.")
    return LogPart(place[0], place[1])


def _place(attempt: Attempt, step: int) -> tuple[int, int] | None:
    if step > len(attempt.steps):
        return None
    found = attempt.steps[step - 1]
    if found.log_start is None or found.log_end is None:
        return None
    return found.log_start, max(found.log_start, found.log_end)


def _bad_lines(problem: str) -> ValidationFailed:
    return ValidationFailed(f"lines {problem}.", [FieldError(field="lines", message=problem)])
