"""A request's head as raw bytes: what is no HTTP, what is too long, and what never ends."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.http import protocol
from api.http.protocol import MAX_HEAD_BYTES, BoundedProtocol
from tests.api.conftest import Bench
from tests.api.live import serving

GOOD = b"GET /health HTTP/1.1\r\nHost: api\r\n\r\n"
CONNECTION = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(bench: Bench) -> AsyncGenerator[CONNECTION]:
    async with serving(bench.app, http=BoundedProtocol) as client:
        assert client.base_url.port is not None
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()


async def problem_on(connection: CONNECTION, request: bytes) -> tuple[int, dict[str, Any]]:
    reader, writer = connection
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 60)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/problem+json\r\n" in head + b"\r\n"
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\0\1\r\n\r\n",
        b"FOO / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_problem(
    bench: Bench, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    caplog.set_level(logging.CRITICAL, "uvicorn.error")
    async with connected(bench) as connection:
        status, body = await problem_on(connection, request_bytes)
    assert (status, body["status"], body["code"]) == (400, 400, "bad_request")


async def test_headers_without_end_are_refused_before_they_fill_the_memory(bench: Bench) -> None:
    head = GOOD[:-2] + b"A: "
    async with connected(bench) as connection:
        status, body = await problem_on(connection, head + b"a" * (MAX_HEAD_BYTES + 1 - len(head)))
    assert (status, body["code"]) == (431, "headers_too_large")


async def test_a_head_that_does_not_come_ends_the_connection(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    async with connected(bench) as (reader, writer):
        writer.write(GOOD)
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.4)  # between requests the patience is the server's keep-alive, which is longer
        writer.write(GOOD + GOOD[:-2])
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        assert await asyncio.wait_for(reader.read(), 60) == b""
