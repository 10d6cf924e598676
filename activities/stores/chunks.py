"""How a log's chunks become one stream again, pure: which chunk comes next, where it is cut, where the log has a gap.

Chunks are looked at in the order of their ends. Pieces that were cut the same way come once; a piece that was sent
again with another cut overlaps what is there, and only its new part is taken.
"""

from dataclasses import dataclass

from activities.stores.interfaces import LogChunk
from workflows.contracts.attempts import MAX_CHUNK_BYTES
from workflows.contracts.errors import FieldError, ValidationFailed


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """A stored chunk (``offset`` to ``end``) of which the bytes from ``start`` on are next. All in bytes."""

    end: int
    offset: int
    final: bool
    start: int


def check_chunk(chunk: LogChunk) -> None:
    """Raises ValidationFailed for a chunk above MAX_CHUNK_BYTES: the look-ahead of ``ReadPlan`` counts on the bound."""
    if len(chunk.data) > MAX_CHUNK_BYTES:
        problem = f"is {len(chunk.data)} bytes long; at most {MAX_CHUNK_BYTES} are allowed: send it in pieces"
        raise ValidationFailed(f"The log chunk {problem}.", [FieldError(field="data", message=problem)])


class ReadPlan:
    """What to read, in order from ``start``, up to the first gap or the final chunk."""

    def __init__(self, start: int) -> None:
        self.position = start
        """Up to here the plan goes."""
        self._ahead: list[tuple[int, int, bool]] = []
        self.ended = False
        """True when the plan goes up to the final chunk."""
        self.complete = False
        """True when nothing that is offered later can change the plan."""

    def offer(self, end: int, offset: int, final: bool) -> list[PlannedChunk]:
        """Take notice of a stored chunk and say what can be read now. Chunks are offered in ascending order."""
        planned: list[PlannedChunk] = []
        self._ahead.append((end, offset, final))
        while not self.complete and (found := self._next()) is not None:
            planned.append(PlannedChunk(*found, start=self.position))
            self.position, self.ended = found[0], found[2]
            self.complete = self.ended
            self._ahead = [chunk for chunk in self._ahead if chunk[0] > self.position]
        # A chunk that covers the position ends at most MAX_CHUNK_BYTES behind it: past that, it is not stored.
        self.complete = self.complete or end > self.position + MAX_CHUNK_BYTES
        return planned

    def _next(self) -> tuple[int, int, bool] | None:
        for end, offset, final in self._ahead:
            if offset <= self.position and (end > self.position or (final and end == self.position)):
                return end, offset, final
        return None


def clip(chunk: LogChunk, start: int) -> LogChunk:
    """The chunk from ``start`` on; a mark that lies before it moves to its beginning."""
    cut = start - chunk.offset
    if cut <= 0:
        return chunk
    before = [time for offset, time in chunk.marks if offset <= cut]
    after = [(offset - cut, time) for offset, time in chunk.marks if offset > cut]
    data = chunk.data[cut:]
    marks = [(0, before[-1]), *after] if before and data else after
    return LogChunk(start, data, marks, chunk.final, chunk.sha256)
