"""How a log's pieces become one stream again, pure: which comes next, where it is cut, where the log has a gap.

Pieces are chunks as an agent sent them, or parts: many chunks made one. A reader that goes on from a place looks at
them in the order of their ends (``ReadPlan``); who knows all takes the longest (``cover``). Pieces that were cut the
same way come once; a piece that was sent again with another cut overlaps what is there, and only its new part is taken.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from activities.stores.interfaces.logs import LogChunk
from workflows.contracts.attempts import MAX_CHUNK_BYTES
from workflows.contracts.errors import FieldError, ValidationFailed

MAX_PART_BYTES: Final = 8 << 20
"""No piece is longer: the look-ahead of ``ReadPlan`` counts on it."""


class StoredPiece(NamedTuple):
    """A stored piece: its bytes are those from ``offset`` to ``end`` of the log.

    ``lines``: how many newlines it has; ``header``: how long its header is. None: it is one of before 2026-11-30.
    """

    end: int
    offset: int
    final: bool = False
    lines: int | None = None
    header: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedPiece:
    """A stored piece of which the bytes from ``start`` to ``end`` are next."""

    piece: StoredPiece
    start: int
    end: int

    @property
    def whole(self) -> bool:
        """True when all of it is."""
        return self.start == self.piece.offset and self.end == self.piece.end


@dataclass(frozen=True, slots=True)
class Cover:
    """Pieces that are the log up to ``size``, its first gap; ``complete``: up to its final one. ``superfluous`` are
    pieces of which no byte is needed.
    """

    planned: list[PlannedPiece]
    superfluous: list[StoredPiece]
    size: int
    complete: bool


def check_chunk(chunk: LogChunk) -> None:
    """Raises ValidationFailed for a chunk above MAX_CHUNK_BYTES."""
    if len(chunk.data) > MAX_CHUNK_BYTES:
        problem = f"is {len(chunk.data)} bytes long; at most {MAX_CHUNK_BYTES} are allowed: send it in pieces"
        raise ValidationFailed(f"The log chunk {problem}.", [FieldError(field="data", message=problem)])


class ReadPlan:
    """What to read, in order from ``start``, up to the first gap or the final piece."""

    def __init__(self, start: int) -> None:
        self.position = start
        """Up to here the plan goes."""
        self._ahead: list[StoredPiece] = []
        self.ended = False
        """True when the plan goes up to the final piece."""
        self.complete = False
        """True when nothing that is offered later can change the plan."""

    def offer(self, piece: StoredPiece) -> list[PlannedPiece]:
        """Take notice of a stored piece and say what can be read now. Pieces are offered by ascending end."""
        planned: list[PlannedPiece] = []
        self._ahead.append(piece)
        while not self.complete and (found := self._next()) is not None:
            planned.append(PlannedPiece(found, self.position, found.end))
            self.position, self.ended = found.end, found.final
            self.complete = self.ended
            self._ahead = [each for each in self._ahead if each.end > self.position]
        # A piece that covers the position ends at most MAX_PART_BYTES behind it: past that, it is not stored.
        self.complete = self.complete or piece.end > self.position + MAX_PART_BYTES
        return planned

    def _next(self) -> StoredPiece | None:
        for each in self._ahead:
            if each.offset <= self.position and (
                each.end > self.position or (each.final and each.end == self.position)
            ):
                return each
        return None


def cover(pieces: Iterable[StoredPiece]) -> Cover:
    """The fewest pieces that are the log, of all that are stored."""
    by_offset = sorted(set(pieces), key=lambda piece: (piece.offset, -piece.end))
    planned: list[PlannedPiece] = []
    size, following, best = 0, 0, None
    while True:
        while following < len(by_offset) and by_offset[following].offset <= size:
            if best is None or by_offset[following].end > best.end:
                best = by_offset[following]
            following += 1
        if best is None or best.end <= size:
            break
        planned.append(PlannedPiece(best, size, best.end))
        size = best.end
    ends = [piece.end for piece in by_offset if piece.final and piece.end <= size]
    complete = bool(ends)
    if complete and min(ends) < size:
        size = min(ends)
        planned = [replace(each, end=min(each.end, size)) for each in planned if each.start < size]
    needed = {each.piece for each in planned}
    ended = any(each.piece.final for each in planned)
    superfluous = [each for each in by_offset if each not in needed and each.end <= size and (ended or not each.final)]
    return Cover(planned, superfluous, size, complete)


def clip(chunk: LogChunk, start: int, end: int | None = None) -> LogChunk:
    """The chunk from ``start`` on, up to ``end``; a mark that lies before it moves to its beginning."""
    size = len(chunk.data)
    first = max(0, start - chunk.offset)
    last = size if end is None else min(size, end - chunk.offset)
    if (first, last) == (0, size):
        return chunk
    marks = marks_between(chunk.marks, first, last)
    to_its_end = last == size
    data, sha256 = chunk.data[first:last], chunk.sha256 if to_its_end else None
    return LogChunk(chunk.offset + first, data, marks, chunk.final and to_its_end, sha256)


def marks_between(marks: Sequence[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """The marks of a piece's bytes from ``first`` to ``last``, counted from there, with the one that holds there."""
    before = [time for offset, time in marks if offset <= first]
    inside = [(offset - first, time) for offset, time in marks if first < offset < last]
    return [(0, before[-1]), *inside] if before and first < last else inside
