"""The contract of LogStore, and the plan by which chunks become one stream again."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.stores.chunks import ReadPlan, StoredPiece, clip
from activities.stores.dynamo.client import AwsClients
from activities.stores.interfaces.logs import LogChunk, LogStore
from activities.stores.s3.logs import S3LogStore
from workflows.contracts.attempts import MAX_CHUNK_BYTES
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.ids import new_job_id

TEXT = bytes(range(256)) * 4


def piece(begin: int, end: int, *, final: bool = False) -> LogChunk:
    return LogChunk(begin, TEXT[begin:end], [(0, 1000 + begin)] if end > begin else [], final)


async def append(logs: LogStore, job_id: str, *chunks: LogChunk) -> None:
    for chunk in chunks:
        await logs.append(job_id, 1, chunk)


async def read(logs: LogStore, job_id: str, start: int = 0) -> list[LogChunk]:
    chunks = [chunk async for chunk in logs.read(job_id, 1, start)]
    position = start
    for chunk in chunks:
        assert chunk.offset == position
        position = chunk.end
    return chunks


async def test_binary_chunks_marks_and_the_end_are_read_as_they_were_kept(logs: LogStore) -> None:
    job_id, kept = new_job_id(), [piece(0, 300), piece(300, 1024), LogChunk(1024, b"", (), final=True)]
    await append(logs, job_id, *kept)
    found = await read(logs, job_id)
    assert [(c.offset, c.data, list(c.marks), c.final) for c in found] == [
        (c.offset, c.data, list(c.marks), c.final) for c in kept
    ]


async def test_the_same_chunk_again_changes_nothing(logs: LogStore) -> None:
    job_id = new_job_id()
    await append(logs, job_id, piece(0, 10), piece(0, 10), piece(10, 20, final=True), piece(10, 20, final=True))
    assert [(c.offset, c.end, c.final) for c in await read(logs, job_id)] == [(0, 10, False), (10, 20, True)]


async def test_attempts_and_jobs_are_apart(logs: LogStore) -> None:
    job_id, other = new_job_id(), new_job_id()
    await append(logs, job_id, piece(0, 10))
    await logs.append(job_id, 11, piece(0, 5))
    await logs.append(other, 1, piece(0, 3))
    assert [chunk.end for chunk in await read(logs, job_id)] == [10]
    assert await read(logs, new_job_id()) == []


async def test_chunks_may_come_in_any_order_and_a_gap_ends_the_reading(logs: LogStore) -> None:
    job_id = new_job_id()
    await append(logs, job_id, piece(30, 40, final=True), piece(0, 10), piece(20, 30))
    assert [chunk.end for chunk in await read(logs, job_id)] == [10]
    await append(logs, job_id, piece(10, 20))
    assert [chunk.end for chunk in await read(logs, job_id)] == [10, 20, 30, 40]
    assert (await read(logs, job_id))[-1].final


async def test_a_piece_that_was_cut_otherwise_is_not_yielded_twice(logs: LogStore) -> None:
    job_id = new_job_id()
    await append(logs, job_id, piece(0, 10), piece(10, 25), piece(5, 40), piece(0, 12), piece(40, 50, final=True))
    assert b"".join(chunk.data for chunk in await read(logs, job_id)) == TEXT[:50]


async def test_reading_goes_on_from_any_byte_with_the_mark_that_holds_there(logs: LogStore) -> None:
    job_id = new_job_id()
    chunk = LogChunk(0, TEXT[:100], [(0, 1), (40, 2), (60, 3)], final=False)
    await append(logs, job_id, chunk, piece(100, 110, final=True))
    assert list((await read(logs, job_id, 50))[0].marks) == [(0, 2), (10, 3)]
    assert [(c.offset, c.data, c.final) for c in await read(logs, job_id, 105)] == [(105, TEXT[105:110], True)]
    assert await read(logs, job_id, 111) == []


async def test_a_follower_learns_of_the_end_and_of_nothing_else_twice(logs: LogStore) -> None:
    job_id = new_job_id()
    await append(logs, job_id, piece(0, 10))
    assert await read(logs, job_id, 10) == []
    await append(logs, job_id, LogChunk(10, b"", (), final=True))
    assert [(c.offset, c.data, c.final) for c in await read(logs, job_id, 10)] == [(10, b"", True)]


async def test_a_log_of_many_chunks_is_read_over_several_pages_of_the_listing(
    clients_of: Callable[[str], AwsClients], bucket: str
) -> None:
    logs, job_id = S3LogStore(clients_of("aws_endpoint"), bucket, keys_per_listing=7), new_job_id()
    await append(logs, job_id, *(LogChunk(number, b"x", (), final=number == 30) for number in range(31)))
    assert len(await read(logs, job_id)) == 31
    assert len(await read(logs, job_id, 28)) == 3


async def test_a_chunk_above_the_limit_is_refused(logs: LogStore) -> None:
    with pytest.raises(ValidationFailed):
        await logs.append(new_job_id(), 1, LogChunk(0, b"x" * (MAX_CHUNK_BYTES + 1)))


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), start=st.integers(0, 1100))
def test_whatever_was_sent_and_resent_is_read_up_to_the_first_gap(seed: int, start: int) -> None:
    chance = random.Random(seed)
    sent: set[tuple[int, int, bool]] = set()
    for _ in range(chance.randrange(1, 12)):
        begin = chance.randrange(len(TEXT))
        sent.add((min(len(TEXT), begin + chance.randrange(1, 400)), begin, False))
    there = {byte for end, begin, _ in sent for byte in range(begin, end)}
    reach = start
    while reach in there:
        reach += 1
    plan, data = ReadPlan(start), b""
    for chunk in sorted(sent):
        for planned in plan.offer(StoredPiece(*chunk)):
            data += clip(piece(planned.piece.offset, planned.piece.end), planned.start).data
    assert data == TEXT[start:reach]
