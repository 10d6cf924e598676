"""LogStore on S3: reading and writing pieces (``log_objects``), finding lines (``log_lines``).

Deliberately not here: making few pieces of many (``compaction``).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from activities.stores.chunks import PlannedPiece, ReadPlan, StoredPiece, check_chunk, clip, marks_between
from activities.stores.dynamo.client import AwsClients, Missing
from activities.stores.interfaces.amounts import Amount
from activities.stores.interfaces.logs import LinePlace, LogChunk, LogExtent
from activities.stores.s3.compaction import compact
from activities.stores.s3.log_lines import lines_at_offsets, places_of_lines
from activities.stores.s3.log_objects import LogHeader, LogObjects
from activities.stores.s3.prefixes import LOGS, amount_under, remove_under
from workflows.contracts.attempts import MAX_CHUNK_BYTES
from workflows.contracts.errors import Unavailable

T = TypeVar("T")
_AHEAD: Final = 4
"""Pieces fetched at the same time: at most so many MiB per reader."""
_TRIES: Final = 5
"""So often a reader looks again for a piece that a compaction removed, or made part of another, under it."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Bytes of a piece that are fetched by one request; ``last``: with them it ends."""

    planned: PlannedPiece
    start: int
    end: int
    last: bool


class S3LogStore:
    """LogStore in one bucket."""

    def __init__(self, clients: AwsClients, bucket: str, *, keys_per_listing: int = 1000) -> None:
        self._clients, self._bucket, self._keys = clients, bucket, keys_per_listing

    async def append(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        """See LogStore."""
        check_chunk(chunk)
        await self._objects(job_id, attempt).put(chunk)

    async def read(self, job_id: str, attempt: int, start: int = 0, end: int | None = None) -> AsyncIterator[LogChunk]:
        """See LogStore."""
        objects, position, tries = self._objects(job_id, attempt), start, 0
        while True:
            try:
                async with aclosing(_read(objects, position, end)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                        position, tries = chunk.end, 0
                        if chunk.final or (end is not None and position >= end):
                            return
                return
            except Missing as missing:
                tries += 1
                if missing.details["aws"] == "NoSuchBucket" or tries == _TRIES:
                    raise Unavailable("A piece of the log was removed while it was read; read again.") from None

    async def extent(self, job_id: str, attempt: int) -> LogExtent:
        """See LogStore."""
        plan = ReadPlan(0)
        async for piece in self._objects(job_id, attempt).list():
            plan.offer(piece)
            if plan.complete:
                break
        return LogExtent(plan.position, plan.ended)

    async def places(self, job_id: str, attempt: int, lines: Sequence[int]) -> list[LinePlace]:
        """See LogStore."""
        return await self._while_whole(lambda: places_of_lines(self._objects(job_id, attempt), lines))

    async def lines_at(self, job_id: str, attempt: int, offsets: Sequence[int]) -> list[int]:
        """See LogStore."""
        return await self._while_whole(lambda: lines_at_offsets(self._objects(job_id, attempt), offsets))

    async def stored(self, job_id: str) -> Amount:
        """See LogStore."""
        return await amount_under(self._clients, self._bucket, f"{LOGS}{job_id}/")

    async def remove(self, job_id: str) -> Amount:
        """See LogStore."""
        return await remove_under(self._clients, self._bucket, f"{LOGS}{job_id}/")

    async def compact(self, job_id: str, attempt: int) -> bool:
        """See LogStore."""
        return await compact(self._objects(job_id, attempt))

    @staticmethod
    async def _while_whole(look: Callable[[], Awaitable[list[T]]]) -> list[T]:
        for _ in range(_TRIES):
            try:
                return await look()
            except Missing as missing:
                if missing.details["aws"] == "NoSuchBucket":
                    raise
        raise Unavailable("The log was compacted while a line was looked for; ask again.")

    def _objects(self, job_id: str, attempt: int) -> LogObjects:
        return LogObjects(self._clients, self._bucket, job_id, attempt, keys_per_listing=self._keys)


async def _read(objects: LogObjects, start: int, end: int | None) -> AsyncGenerator[LogChunk]:
    waiting: deque[asyncio.Task[LogChunk]] = deque()
    headers: dict[StoredPiece, asyncio.Task[LogHeader]] = {}
    try:
        async for planned in _plan(objects, start):
            if end is not None and planned.start >= end:
                break
            for wanted in _requests(planned, end):
                waiting.append(asyncio.create_task(_fetch(objects, wanted, headers)))
                if len(waiting) >= _AHEAD:
                    yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        tasks: list[asyncio.Task[Any]] = [*waiting, *headers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _plan(objects: LogObjects, start: int) -> AsyncIterator[PlannedPiece]:
    """What to read, from one page of the listing after the other, until no further page can matter."""
    plan = ReadPlan(start)
    async for piece in objects.list(start):
        for planned in plan.offer(piece):
            yield planned
        if plan.complete:
            return


def _requests(planned: PlannedPiece, end: int | None) -> Iterator[_Wanted]:
    """One for a chunk, several for a part, of which nothing behind ``end`` is wanted."""
    if planned.piece.end - planned.piece.offset <= MAX_CHUNK_BYTES or planned.piece.header is None:
        yield _Wanted(planned, planned.piece.offset, planned.end, last=True)
        return
    last = planned.end if end is None else min(planned.end, end)
    for start in range(planned.start, max(last, planned.start + 1), MAX_CHUNK_BYTES):
        until = min(start + MAX_CHUNK_BYTES, last)
        yield _Wanted(planned, start, until, last=until == planned.end)


async def _fetch(objects: LogObjects, wanted: _Wanted, headers: dict[StoredPiece, asyncio.Task[LogHeader]]) -> LogChunk:
    piece = wanted.planned.piece
    if (wanted.start, wanted.end) == (piece.offset, piece.end):
        return clip(await objects.whole(piece), wanted.planned.start)
    if piece not in headers:
        while len(headers) >= _AHEAD:
            headers.pop(next(iter(headers)))
        headers[piece] = asyncio.create_task(objects.header(piece))
    header, data = await asyncio.shield(headers[piece]), await objects.data(piece, wanted.start, wanted.end)
    marks = marks_between(header.marks, wanted.start - piece.offset, wanted.end - piece.offset)
    final = piece.final and wanted.last
    return LogChunk(wanted.start, data, marks, final, header.sha256 if wanted.last else None)
