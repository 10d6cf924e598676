"""Making few pieces of many: parts of about 8 MiB, as a log grows, and one index once it has ended.

A part is written before the pieces that it replaces are deleted, and a part overlaps them exactly: whatever is killed
at any moment, all bytes are there, and what is superfluous goes the next time. Two that compact one log at once write
the same bytes. One part is in memory at a time.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from activities.stores.chunks import MAX_PART_BYTES, Cover, PlannedPiece, StoredPiece, clip, cover
from activities.stores.interfaces.logs import LogChunk
from activities.stores.s3.log_objects import LogIndex, LogObjects
from workflows.contracts.attempts import MAX_CHUNK_BYTES
from workflows.contracts.running_digest import RunningDigest

FEW: Final = 16
"""A log of so many pieces is left as it is: it is read as quickly."""
_FULL_BYTES: Final = MAX_PART_BYTES // 2
"""A piece of this size is not made part of another one."""
_MAX_MARKS: Final = 10_000
"""Of one part: of an absurd log only every so many are kept."""


async def compact(objects: LogObjects) -> bool:
    """See LogStore. Raises Unavailable, and Missing when another one was faster."""
    if await objects.index() is not None:
        return False
    stored = [piece async for piece in objects.list()]
    if len(stored) <= FEW:
        return False
    found = cover(stored)
    parts: list[StoredPiece] = []
    for group in _groups(found):
        part = await _merged(objects, group, final=found.complete and group[-1].end == found.size)
        inside = [each.piece for each in group if part.offset <= each.piece.offset and each.piece.end <= part.end]
        await objects.delete([each for each in inside if each != part])
        parts.append(part)
    kept = {*parts, *(each.piece for each in found.planned)}
    await objects.delete([piece for piece in found.superfluous if piece not in kept])
    if found.complete:
        await _write_index(objects, parts, found.size)
        await objects.delete([piece for piece in stored if piece.end <= found.size and piece not in {*parts}])
    return True


def _groups(found: Cover) -> Iterator[list[PlannedPiece]]:
    """Neighbours that become one part. Of a log that grows the last piece stays: its sender may not know that it is
    stored, and send it again.
    """
    group, size = list[PlannedPiece](), 0
    for planned in found.planned if found.complete else found.planned[:-1]:
        length = planned.end - planned.start
        if group and (size + length > MAX_PART_BYTES or length >= _FULL_BYTES):
            yield group
            group, size = [], 0
        group.append(planned)
        size += length
    if group:
        yield group


async def _merged(objects: LogObjects, group: Sequence[PlannedPiece], *, final: bool) -> StoredPiece:
    """One piece for the group, which is written unless it is there."""
    piece = group[0].piece
    if len(group) == 1 and group[0].whole and piece.header is not None and piece.final == final:
        return piece
    data, marks, sha256 = bytearray(), list[tuple[int, int]](), None
    for planned in group:
        chunk = clip(await objects.whole(planned.piece), planned.start, planned.end)
        marks += [(len(data) + offset, time) for offset, time in chunk.marks]
        data += chunk.data
        sha256 = chunk.sha256
    thin = marks[:: len(marks) // _MAX_MARKS + 1]
    return await objects.put(LogChunk(group[0].start, bytes(data), thin, final, sha256))


async def _write_index(objects: LogObjects, parts: Sequence[StoredPiece], size: int) -> None:
    """Reads the parts once more, for the digest of what is stored."""
    digest = RunningDigest()
    for part in parts:
        for start in range(part.offset, part.end, MAX_CHUNK_BYTES):
            digest.update(await objects.data(part, start, min(start + MAX_CHUNK_BYTES, part.end)))
    await objects.put_index(LogIndex(size, digest.hexdigest(), list(parts)))
