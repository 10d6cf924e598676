"""LogStore on S3: one object per chunk, ``logs/<job>/<attempt>/<end>-<offset>[-f]``.

The end comes first in the key, so that a listing that starts at a position yields what lies behind it and nothing
else, however small the chunks are: following a log costs the same at its end as at its beginning. ``-f`` marks the
last chunk.
An object is one line of JSON (the marks; S3's own metadata is limited to 2 KB), then the bytes as they came.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from activities.stores.chunks import PlannedChunk, ReadPlan, check_chunk, clip
from activities.stores.dynamo.client import AwsClients, Missing
from activities.stores.interfaces import LogChunk, LogExtent
from workflows.contracts.errors import Unavailable

_AHEAD: Final = 4
"""Chunks fetched at the same time: at most so many MiB per reader."""


class S3LogStore:
    """LogStore in one bucket."""

    def __init__(self, clients: AwsClients, bucket: str, *, keys_per_listing: int = 1000) -> None:
        self._clients, self._bucket, self._keys = clients, bucket, keys_per_listing

    async def append(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        """See LogStore."""
        check_chunk(chunk)
        header = json.dumps(
            {"marks": [list(mark) for mark in chunk.marks], "final": chunk.final, "sha256": chunk.sha256}
        )
        await self._clients.call_s3(
            self._clients.s3.put_object,
            Bucket=self._bucket,
            Key=_prefix(job_id, attempt) + _name(chunk.end, chunk.offset, chunk.final),
            Body=header.encode() + b"\n" + chunk.data,
        )

    async def read(self, job_id: str, attempt: int, start: int = 0) -> AsyncIterator[LogChunk]:
        """See LogStore."""
        prefix = _prefix(job_id, attempt)
        waiting: deque[asyncio.Task[LogChunk]] = deque()
        try:
            async for planned in self._plan(prefix, ReadPlan(start)):
                waiting.append(asyncio.create_task(self._fetch(prefix, planned)))
                if len(waiting) >= _AHEAD:
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def extent(self, job_id: str, attempt: int) -> LogExtent:
        """See LogStore."""
        plan = ReadPlan(0)
        async for _ in self._plan(_prefix(job_id, attempt), plan):
            pass
        return LogExtent(plan.position, plan.ended)

    async def _plan(self, prefix: str, plan: ReadPlan) -> AsyncIterator[PlannedChunk]:
        """What to read, from one page of the listing after the other, until no further page can matter."""
        after = f"{prefix}{plan.position:016d}"
        while True:
            page = await self._clients.call_s3(
                self._clients.s3.list_objects_v2,
                Bucket=self._bucket,
                Prefix=prefix,
                StartAfter=after,
                MaxKeys=self._keys,
            )
            for entry in page.get("Contents", []):
                after = entry.get("Key", "")
                for planned in plan.offer(*_parsed(after[len(prefix) :])):
                    yield planned
                if plan.complete:
                    return
            if not page.get("IsTruncated"):
                return

    async def _fetch(self, prefix: str, planned: PlannedChunk) -> LogChunk:
        key = prefix + _name(planned.end, planned.offset, planned.final)
        try:
            body = await self._clients.call_s3(self._content, key)
        except Missing:
            raise Unavailable(f"The log chunk {key} was removed while it was read; read again.", key=key) from None
        first, _, data = body.partition(b"\n")
        header = json.loads(first)
        marks = [(int(offset), int(time)) for offset, time in header["marks"]]
        return clip(LogChunk(planned.offset, data, marks, planned.final, header.get("sha256")), planned.start)

    def _content(self, key: str) -> bytes:
        return self._clients.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()


def _prefix(job_id: str, attempt: int) -> str:
    return f"logs/{job_id}/{attempt:04d}/"


def _name(end: int, offset: int, final: bool) -> str:
    return f"{end:016d}-{offset:016d}{'-f' if final else ''}"


def _parsed(name: str) -> tuple[int, int, bool]:
    end, offset, *final = name.split("-")
    return int(end), int(offset), bool(final)
