"""A stream whose reader takes nothing is cut, and its source closed."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.types import Message

from api.http.patient import PatientStream


async def test_a_reader_that_takes_nothing_is_cut_and_the_source_is_closed() -> None:
    closed: list[bool] = []
    sent: list[Message] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"piece"
        finally:
            closed.append(True)

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 3:
            await asyncio.Event().wait()

    source = pieces()
    stream = PatientStream(source, headers={}, media_type="text/event-stream", seconds=0.02)
    async with asyncio.timeout(5):
        await stream.stream_response(send)
    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * 2]
    assert closed == [True], "who followed is followed no longer"


async def test_a_slow_reader_that_takes_each_piece_in_time_gets_all() -> None:
    sent: list[bytes] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        for number in range(5):
            yield b"%d" % number

    async def send(message: Message) -> None:
        await asyncio.sleep(0.01)
        sent.append(message.get("body", b""))

    stream = PatientStream(pieces(), headers={}, media_type="text/plain", seconds=1)
    await stream.stream_response(send)
    assert b"".join(sent) == b"01234"
