"""LogStore in memory, for unit tests."""

from collections.abc import AsyncIterator

from activities.stores.chunks import ReadPlan, check_chunk, clip
from activities.stores.interfaces import LogChunk, LogExtent


class MemoryLogStore:
    """LogStore in a dict."""

    def __init__(self) -> None:
        self._chunks: dict[tuple[str, int], dict[tuple[int, int, bool], LogChunk]] = {}

    async def append(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        """See LogStore."""
        check_chunk(chunk)
        self._chunks.setdefault((job_id, attempt), {})[chunk.end, chunk.offset, chunk.final] = chunk

    async def read(self, job_id: str, attempt: int, start: int = 0) -> AsyncIterator[LogChunk]:
        """See LogStore."""
        chunks = self._chunks.get((job_id, attempt), {})
        plan = ReadPlan(start)
        for key in sorted(chunks):
            for planned in plan.offer(*key):
                yield clip(chunks[planned.end, planned.offset, planned.final], planned.start)
            if plan.complete:
                return

    async def extent(self, job_id: str, attempt: int) -> LogExtent:
        """See LogStore."""
        plan = ReadPlan(0)
        for key in sorted(self._chunks.get((job_id, attempt), {})):
            plan.offer(*key)
        return LogExtent(plan.position, plan.ended)
