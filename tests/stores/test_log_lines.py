"""Lines of logs and their compaction: the same bytes and lines, whatever the pieces are and whatever is killed."""

import asyncio
import json
import random
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.stores.chunks import StoredPiece, cover
from activities.stores.dynamo.client import AwsClients
from activities.stores.interfaces.logs import LogChunk, LogStore
from activities.stores.lines import EVERY, behind_newline, nearest_place, places_of
from activities.stores.s3 import compaction, logs
from activities.stores.s3.log_objects import LogObjects
from activities.stores.s3.logs import S3LogStore
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import new_job_id

Make = Callable[[], S3LogStore]


@pytest.fixture
def make(clients_of: Callable[[str], AwsClients], bucket: str) -> Make:
    return lambda: S3LogStore(clients_of("aws_endpoint"), bucket)


def text_of(seed: int, lines: int) -> bytes:
    chance = random.Random(seed)
    return b"".join(b"%d %s\n" % (number, b"x" * chance.randrange(40)) for number in range(1, lines + 1))


def pieces_of(text: bytes, seed: int, count: int) -> list[LogChunk]:
    """Cut anywhere, some sent again with another cut, in another order; the last one is final."""
    chance = random.Random(seed)
    cuts = sorted({0, len(text), *(chance.randrange(len(text)) for _ in range(count))})
    pieces = [LogChunk(begin, text[begin:end], [(0, begin + 1)], end == len(text)) for begin, end in pairwise(cuts)]
    for _ in range(count // 20):
        begin = chance.randrange(len(text))
        pieces.append(LogChunk(begin, text[begin : begin + chance.randrange(1, 300)], [(0, begin + 1)]))
    return pieces


async def fill(store: LogStore, job_id: str, pieces: Sequence[LogChunk]) -> None:
    slots = asyncio.Semaphore(12)

    async def put(piece: LogChunk) -> None:
        async with slots:
            await store.append(job_id, 1, piece)

    await asyncio.gather(*map(put, pieces))


async def read(store: LogStore, job_id: str, start: int = 0) -> bytes:
    return b"".join([chunk.data async for chunk in store.read(job_id, 1, start)])


async def lines(store: LogStore, job_id: str, text: bytes, first: int, last: int) -> bytes:
    """As the API reads them."""
    begin, end = await store.places(job_id, 1, [first, last + 1])
    return text[begin.offset : end.offset]


def sed(file: Path, first: int, last: int) -> bytes:
    return subprocess.run(["sed", "-n", f"{first},{last}p", file], capture_output=True, check=True).stdout


async def names(store: S3LogStore, job_id: str) -> list[str]:
    clients: AwsClients = store._clients  # pyright: ignore[reportPrivateUsage]
    bucket: str = store._bucket  # pyright: ignore[reportPrivateUsage]
    page: Any = await clients.call_s3(clients.s3.list_objects_v2, Bucket=bucket, Prefix=f"logs/{job_id}/")
    return [str(entry["Key"]).rsplit("/", 1)[1] for entry in page.get("Contents", [])]


@pytest.mark.parametrize("end", ["newline", "none", "empty"])
async def test_every_line_is_found_from_either_end(logs: LogStore, end: str) -> None:
    text = {"newline": text_of(1, 60), "none": text_of(1, 60) + b"rest", "empty": b""}[end]
    job_id = new_job_id()
    if text:
        await fill(logs, job_id, pieces_of(text, 2, 40))
    expected = text.splitlines(keepends=True)
    for _ in range(2):
        for number in range(1, len(expected) + 1):
            offset = len(b"".join(expected[: number - 1]))
            for line in (number, number - len(expected) - 1):
                (place,) = await logs.places(job_id, 1, [line])
                assert (place.line, place.offset, place.total) == (number, offset, len(expected))
            ends = [offset, offset + len(expected[number - 1]) - 1]
            assert await logs.lines_at(job_id, 1, ends) == [number, number], "the first and the last byte of a line"
        assert (await logs.places(job_id, 1, [-len(expected) - 7]))[0].offset == 0
        (beyond,) = await logs.places(job_id, 1, [len(expected) + 5])
        assert (beyond.offset, beyond.total) == (len(text), len(expected))
        await logs.compact(job_id, 1)


async def test_18000_small_chunks_as_sed_shows_them(make: Make, tmp_path: Path) -> None:
    """Resent and in any order, while it grows and once it has ended."""
    text, job_id, store = text_of(3, 60_000), new_job_id(), make()
    (tmp_path / "log").write_bytes(text)
    pieces = sorted(pieces_of(text, 4, 18_000), key=lambda piece: piece.offset)
    for first in range(0, len(pieces), 3000):
        several = pieces[first : first + 3000]
        random.Random(first).shuffle(several)
        await fill(store, job_id, several)
        await store.compact(job_id, 1)
        known = text[: (await store.extent(job_id, 1)).size].splitlines(keepends=True)
        for number in (1, 2, len(known) // 2, len(known) - 1):
            (place,) = await store.places(job_id, 1, [number])
            assert text[place.offset :].startswith(known[number - 1])
            assert await store.lines_at(job_id, 1, [place.offset]) == [number]
    assert await read(store, job_id) == text
    stored = await names(store, job_id)
    assert (len(stored), stored[-1], stored[0].endswith("-f")) == (2, "index", True)
    for first, last in ((1, 3), (999, 1001), (12_345, 12_400), (59_990, 60_000)):
        shown = await asyncio.to_thread(sed, tmp_path / "log", first, last)
        assert await lines(store, job_id, text, first, last) == shown
    assert await lines(store, job_id, text, -60_000, 1) == text.splitlines(keepends=True)[0]


async def test_a_large_log_becomes_parts_of_eight_mebibytes_and_keeps_its_times(make: Make) -> None:
    store, job_id = make(), new_job_id()
    line = b"y" * 1023 + b"\n"
    text = line * (20 << 10)
    pieces = [
        LogChunk(
            begin, text[begin : begin + (1 << 20)], [(0, begin + 1), (5, begin + 6)], begin + (1 << 20) == len(text)
        )
        for begin in range(0, len(text), 1 << 20)
    ]
    await fill(store, job_id, pieces)
    assert await store.compact(job_id, 1)
    assert not await store.compact(job_id, 1), "there is nothing more to do"
    sizes = [
        int(name.split("-")[0]) - int(name.split("-")[1]) for name in await names(store, job_id) if name != "index"
    ]
    assert sizes == [8 << 20, 8 << 20, 4 << 20]
    found = [chunk async for chunk in store.read(job_id, 1)]
    assert max(len(chunk.data) for chunk in found) <= 1 << 20, "a reader holds pieces of one MiB"
    assert b"".join(chunk.data for chunk in found) == text
    marks = [(chunk.offset + offset, time) for chunk in found for offset, time in chunk.marks]
    expected = {(piece.offset + offset, time) for piece in pieces for offset, time in piece.marks}
    assert expected <= set(marks)
    assert [chunk.final for chunk in found] == [False] * (len(found) - 1) + [True]
    later = [chunk async for chunk in store.read(job_id, 1, len(text) - 10)]
    assert [(chunk.data, chunk.final) for chunk in later] == [(text[-10:], True)]
    at_end = [chunk async for chunk in store.read(job_id, 1, len(text))]
    assert [(chunk.data, chunk.final) for chunk in at_end] == [(b"", True)]
    assert (await store.extent(job_id, 1)).complete


async def test_an_earlier_versions_log_is_read_and_compacted(make: Make) -> None:
    store, job_id, text = make(), new_job_id(), text_of(5, 3000)
    clients: AwsClients = store._clients  # pyright: ignore[reportPrivateUsage]
    bucket: str = store._bucket  # pyright: ignore[reportPrivateUsage]
    for piece in pieces_of(text, 6, 40):
        name = f"{piece.end:016d}-{piece.offset:016d}{'-f' if piece.final else ''}"
        header = json.dumps({"marks": [list(mark) for mark in piece.marks], "final": piece.final}).encode()
        await clients.call_s3(
            clients.s3.put_object, Bucket=bucket, Key=f"logs/{job_id}/0001/{name}", Body=header + b"\n" + piece.data
        )
    for _ in range(2):
        assert await read(store, job_id) == text
        assert await lines(store, job_id, text, 1500, 1502) == b"".join(text.splitlines(keepends=True)[1499:1502])
        await store.compact(job_id, 1)
    assert (await names(store, job_id))[1:] == ["index"]


class Killed(Exception):
    """The process is gone."""


@pytest.mark.parametrize("ended", [True, False])
async def test_a_compaction_that_is_killed_at_any_moment_loses_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    monkeypatch.setattr("activities.stores.chunks.MAX_PART_BYTES", 4000)
    monkeypatch.setattr(compaction, "MAX_PART_BYTES", 4000)
    monkeypatch.setattr(compaction, "_FULL_BYTES", 2000)
    text = text_of(7, 600)
    pieces = pieces_of(text, 8, 60)
    if not ended:
        pieces = [LogChunk(piece.offset, piece.data, piece.marks) for piece in pieces]
    count, at = 0, -1
    for name in ("put", "delete", "put_index"):
        real = getattr(LogObjects, name)

        async def counted(self: LogObjects, *given: Any, real: Any = real) -> Any:
            nonlocal count
            count += 1
            if count == at:
                raise Killed
            done = await real(self, *given)
            if count == -at:
                raise Killed
            return done

        monkeypatch.setattr(LogObjects, name, counted)
    for moment in range(1, 40):
        for when in (moment, -moment):
            store, job_id = make(), new_job_id()
            at = 0
            await fill(store, job_id, pieces)
            count, at = 0, when
            try:
                await store.compact(job_id, 1)
            except Killed:
                pass
            else:
                assert moment > 3
                return
            at = 0
            assert await read(store, job_id) == text
            assert await lines(store, job_id, text, 100, 120) == b"".join(text.splitlines(keepends=True)[99:120])
            await store.compact(job_id, 1)
            assert await read(store, job_id) == text
            assert await read(store, job_id, 1234) == text[1234:]


async def test_who_reads_while_a_log_is_compacted_reads_all_of_it(make: Make) -> None:
    store, job_id, text = make(), new_job_id(), text_of(9, 3000)
    await fill(store, job_id, pieces_of(text, 10, 60))
    found = b""
    async for chunk in store.read(job_id, 1):
        found += chunk.data
        if len(found) < len(text) // 2:
            await store.compact(job_id, 1)
    assert found == text


async def test_a_piece_that_is_gone_for_good_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    store, job_id = make(), new_job_id()
    await store.append(job_id, 1, LogChunk(0, b"text\n", final=True))

    async def elsewhere(self: LogObjects, piece: StoredPiece) -> LogChunk:
        return await real(self, piece._replace(end=77))

    real = LogObjects.whole
    monkeypatch.setattr(LogObjects, "whole", elsewhere)
    with pytest.raises(Unavailable, match="read again"):
        await read(store, job_id)
    assert logs._TRIES == 5  # pyright: ignore[reportPrivateUsage]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_cover_is_the_log_and_what_it_leaves_out_is_not_needed(seed: int) -> None:
    chance = random.Random(seed)
    stored = {
        StoredPiece(begin + chance.randrange(0, 30), begin, chance.random() < 0.1)
        for begin in (chance.randrange(60) for _ in range(chance.randrange(1, 14)))
    }
    there = {byte for piece in stored for byte in range(piece.offset, piece.end)}
    reach = next(byte for byte in range(200) if byte not in there)
    finals = [piece.end for piece in stored if piece.final and piece.end <= reach]
    found = cover(stored)
    assert (found.size, found.complete) == (min([reach, *finals]), bool(finals))
    position = 0
    for planned in found.planned:
        assert planned.piece.offset <= planned.start == position < planned.end <= planned.piece.end
        position = planned.end
    assert position == found.size
    without = cover(stored - set(found.superfluous))
    assert (without.size, without.complete) == (found.size, found.complete)


def test_places_behind_newlines() -> None:
    data = b"a\n\nbb\n" * 1500 + b"rest"
    places = places_of(data)
    assert len(places) == 4500 // EVERY
    for number in (0, 1, 999, 1000, 1001, 2500, 4500):
        expected = len(b"".join(data.splitlines(keepends=True)[:number]))
        place, done = nearest_place(places, number)
        assert place + (behind_newline(data[place:], number - done) or 0) == expected
    assert behind_newline(data, 4501) is None
