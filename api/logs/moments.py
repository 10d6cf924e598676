"""From which byte on a log is of a moment or later: found by halves, so that a long log is not read for its end.

Deliberately not here: lines and steps (``ranges``), and reading (``stream``).
"""

from contextlib import aclosing
from typing import Any, Final

from activities.stores.interfaces.logs import LinePlace, LogStore

_SCANNED_BYTES: Final = 256 * 1024
"""So much is looked through mark by mark in the end."""


async def place_since(logs: LogStore, job_id: str, attempt: int, moment: int) -> LinePlace:
    """Where the line begins that was read at ``moment`` (epoch ms) or first after it; the log's end when none was.

    A log whose agent told no times is shown from its beginning. Raises Unavailable.
    """
    size = (await logs.extent(job_id, attempt)).size
    low, high = 0, size
    found, timed = size, False
    while high - low > _SCANNED_BYTES:
        middle = (low + high) // 2
        marks = await _marks(logs, job_id, attempt, middle, middle + 1)
        timed = timed or bool(marks)
        if marks and marks[0][1] < moment:
            low = middle
            continue
        high = middle
        found = marks[0][0] if marks else found
    marks = await _marks(logs, job_id, attempt, low, high)
    timed = timed or bool(marks)
    found = next((offset for offset, time in marks if time >= moment), found)
    if not timed:
        return (await logs.places(job_id, attempt, [1]))[0]
    if found >= size:
        [last] = await logs.places(job_id, attempt, [-1])
        return LinePlace(last.total + 1, size, last.total)
    [line] = await logs.lines_at(job_id, attempt, [found])
    return (await logs.places(job_id, attempt, [line]))[0]


async def _marks(logs: LogStore, job_id: str, attempt: int, start: int, end: int) -> list[tuple[int, int]]:
    """(offset in the log, epoch ms) of what is between, with the one that holds at its first byte."""
    found: list[tuple[int, int]] = []
    chunks: Any = logs.read(job_id, attempt, start, end)
    async with aclosing(chunks):
        async for chunk in chunks:
            found += [(chunk.offset + offset, time) for offset, time in chunk.marks]
    return [each for each in found if each[0] < end]
