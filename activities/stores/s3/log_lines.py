"""Finding lines of a log on S3 in time that does not grow with it: sums of newlines from the names of its pieces, then
one piece's header and a few of its bytes.

One listing has the names, since a log is compacted while it grows. Only pieces that overlap, and those of before
2026-11-30, have to be read to be counted.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from activities.stores.chunks import PlannedPiece, cover
from activities.stores.interfaces.logs import LinePlace
from activities.stores.lines import EVERY, behind_newline, nearest_place, places_of
from activities.stores.s3.log_objects import LogObjects

_LOOK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Counted:
    """A piece with how many newlines are before it, and in it."""

    planned: PlannedPiece
    before: int
    lines: int


async def places_of_lines(objects: LogObjects, lines: Sequence[int]) -> list[LinePlace]:
    """See LogStore. Raises Missing when the log is compacted meanwhile: ask again."""
    counted, size = await _counted(objects)
    newlines = counted[-1].before + counted[-1].lines if counted else 0
    resting = asyncio.ensure_future(_rest(objects, counted, size))
    try:
        if any(line < 0 for line in lines):
            numbers = [line if line > 0 else max(1, newlines + await resting + 1 + line) for line in lines]
        else:
            numbers = list(lines)
        offsets = await asyncio.gather(*(_begin(objects, counted, number, size) for number in numbers))
        total = newlines + await resting
    finally:
        resting.cancel()
    return [LinePlace(number, offset, total) for number, offset in zip(numbers, offsets, strict=True)]


async def lines_at_offsets(objects: LogObjects, offsets: Sequence[int]) -> list[int]:
    """See LogStore. Raises Missing when the log is compacted meanwhile: ask again."""
    counted, size = await _counted(objects)
    return list(await asyncio.gather(*(_line_at(objects, counted, min(offset, size)) for offset in offsets)))


async def _line_at(objects: LogObjects, counted: Sequence[_Counted], offset: int) -> int:
    found = next((each for each in counted if each.planned.start <= offset < each.planned.end), None)
    if found is None:
        return counted[-1].before + counted[-1].lines + 1 if counted else 1
    piece, place, done = found.planned.piece, found.planned.start, 0
    if piece.header is not None and found.planned.whole:
        places = (await objects.header(piece)).places
        known = bisect_right(places, offset - piece.offset)
        place, done = (piece.offset + places[known - 1], known * EVERY) if known else (piece.offset, 0)
    while place < offset:
        data = await objects.data(piece, place, min(place + _LOOK_BYTES, offset))
        done += data.count(b"\n")
        place += len(data)
    return found.before + done + 1


async def _begin(objects: LogObjects, counted: Sequence[_Counted], number: int, size: int) -> int:
    """Behind the newline before it; at the log's end for one that is not there."""
    wanted = number - 1
    if wanted == 0:
        return 0
    found = next((each for each in counted if each.before < wanted <= each.before + each.lines), None)
    return size if found is None else await _behind(objects, found.planned, wanted - found.before)


async def _counted(objects: LogObjects) -> tuple[list[_Counted], int]:
    covered, before = cover([piece async for piece in objects.list()]), 0
    counted: list[_Counted] = []
    for planned in covered.planned:
        lines = planned.piece.lines
        if lines is None or not planned.whole:
            lines = (await objects.data(planned.piece, planned.start, planned.end)).count(b"\n")
        counted.append(_Counted(planned, before, lines))
        before += lines
    return counted, covered.size


async def _rest(objects: LogObjects, counted: list[_Counted], size: int) -> int:
    """1 when something follows the last newline."""
    if size == 0:
        return 0
    last = counted[-1].planned
    return 0 if await objects.data(last.piece, size - 1, size) == b"\n" else 1


async def _behind(objects: LogObjects, planned: PlannedPiece, number: int) -> int:
    """The place in the log behind this newline of the piece, counted from where the piece is planned."""
    piece = planned.piece
    if piece.header is None or not planned.whole:
        data = await objects.data(piece, planned.start, planned.end)
        place, done = nearest_place(places_of(data), number)
        return planned.start + place + (behind_newline(data[place:], number - done) or 0)
    place, done = nearest_place((await objects.header(piece)).places, number)
    position = piece.offset + place
    while done < number:
        data = await objects.data(piece, position, min(position + _LOOK_BYTES, piece.end))
        found = behind_newline(data, number - done)
        if found is not None:
            return position + found
        done += data.count(b"\n")
        position += len(data)
    return position
