"""LogStore in memory, for unit tests."""

from collections.abc import AsyncIterator, Sequence

from activities.stores.chunks import ReadPlan, StoredPiece, check_chunk, clip
from activities.stores.interfaces.amounts import Amount
from activities.stores.interfaces.logs import LinePlace, LogChunk, LogExtent
from activities.stores.lines import behind_newline


class MemoryLogStore:
    """LogStore in a dict. Few pieces or many are the same here: there is nothing to compact."""

    def __init__(self) -> None:
        self._chunks: dict[tuple[str, int], dict[StoredPiece, LogChunk]] = {}

    async def append(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        """See LogStore."""
        check_chunk(chunk)
        self._chunks.setdefault((job_id, attempt), {})[StoredPiece(chunk.end, chunk.offset, chunk.final)] = chunk

    async def read(self, job_id: str, attempt: int, start: int = 0, end: int | None = None) -> AsyncIterator[LogChunk]:
        """See LogStore."""
        chunks = self._chunks.get((job_id, attempt), {})
        plan = ReadPlan(start)
        for piece in sorted(chunks):
            if piece.end < start:
                continue
            for planned in plan.offer(piece):
                if end is not None and planned.start >= end:
                    return
                yield clip(chunks[planned.piece], planned.start)
            if plan.complete:
                return

    async def extent(self, job_id: str, attempt: int) -> LogExtent:
        """See LogStore."""
        plan = ReadPlan(0)
        for piece in sorted(self._chunks.get((job_id, attempt), {})):
            plan.offer(piece)
        return LogExtent(plan.position, plan.ended)

    async def places(self, job_id: str, attempt: int, lines: Sequence[int]) -> list[LinePlace]:
        """See LogStore."""
        data = b"".join([chunk.data async for chunk in self.read(job_id, attempt)])
        total = data.count(b"\n") + (0 if data.endswith(b"\n") or not data else 1)
        numbers = [line if line > 0 else max(1, total + 1 + line) for line in lines]
        return [LinePlace(number, _begin(data, number, total), total) for number in numbers]

    async def lines_at(self, job_id: str, attempt: int, offsets: Sequence[int]) -> list[int]:
        """See LogStore."""
        data = b"".join([chunk.data async for chunk in self.read(job_id, attempt)])
        return [data.count(b"\n", 0, offset) + 1 for offset in offsets]

    async def stored(self, job_id: str) -> Amount:
        """See LogStore."""
        chunks = [chunk for key, found in self._chunks.items() if key[0] == job_id for chunk in found.values()]
        return Amount(len(chunks), sum(len(chunk.data) for chunk in chunks))

    async def remove(self, job_id: str) -> Amount:
        """See LogStore."""
        took = await self.stored(job_id)
        self._chunks = {key: found for key, found in self._chunks.items() if key[0] != job_id}
        return took

    async def compact(self, job_id: str, attempt: int) -> bool:
        """See LogStore."""
        return False


def _begin(data: bytes, number: int, total: int) -> int:
    found = behind_newline(data, number - 1) if number <= max(total, 1) else None
    return len(data) if found is None else found
