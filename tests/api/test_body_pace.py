"""Bodies that come slowly, over real connections: they end, others are served meanwhile, honest ones arrive."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.http import protocol
from api.http.errors import ApiError, problem
from api.http.pace import BodyLimits, BodyPace
from api.http.protocol import BoundedProtocol
from tests.api.conftest import AGENT_TOKEN, Bench
from tests.api.live import serving

CONNECTION = tuple[asyncio.StreamReader, asyncio.StreamWriter]
QUICK = BodyLimits(grace_seconds=0.4, bytes_per_second=1000, deadline_seconds=1.2, per_address=3, in_all=5)
TOKEN = b"POST /auth/token HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


def limited(bench: Bench, limits: BodyLimits) -> None:
    """The bench's application with these limits."""
    for each in bench.app.user_middleware:
        if each.cls is BodyPace:
            bench.app.user_middleware[bench.app.user_middleware.index(each)] = type(each)(BodyPace, limits=limits)


@asynccontextmanager
async def served(bench: Bench, limits: BodyLimits = QUICK) -> AsyncGenerator[httpx.AsyncClient]:
    limited(bench, limits)
    async with serving(bench.app, http=BoundedProtocol) as client:
        yield client


@asynccontextmanager
async def connection_to(client: httpx.AsyncClient) -> AsyncGenerator[CONNECTION]:
    assert client.base_url.port is not None
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes, also when that crosses with something we send."""
    found = bytearray()
    try:
        while piece := await reader.read(1 << 16):
            found += piece
    except ConnectionResetError:
        pass
    return bytes(found)


async def rest_of(reader: asyncio.StreamReader, seconds: float = 60) -> tuple[int, dict[str, str], dict[str, Any]]:
    """What comes until the server closes: status, headers, problem."""
    head, _, body = (await asyncio.wait_for(all_of(reader), seconds)).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, json.loads(body)


async def test_a_body_that_does_not_come_is_408_and_the_connection_ends(bench: Bench) -> None:
    async with served(bench) as client, connection_to(client) as (reader, writer):
        writer.write(TOKEN + b"{")
        status, headers, body = await rest_of(reader)
    assert (status, body["code"], headers["connection"]) == (408, "body_too_slow", "close")
    assert "1000 bytes a second" in body["detail"]


async def test_a_byte_now_and_then_is_too_slow(bench: Bench) -> None:
    no_deadline = replace(QUICK, deadline_seconds=1000)
    async with served(bench, no_deadline) as client, connection_to(client) as (reader, writer):
        writer.write(TOKEN)
        answered = asyncio.create_task(rest_of(reader))
        while not answered.done():
            writer.write(b" ")
            await asyncio.sleep(0.05)
        assert (await answered)[0] == 408


async def test_a_known_caller_has_no_more_patience(bench: Bench) -> None:
    head = (
        f"POST /api/agents/agent-7/heartbeat HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {AGENT_TOKEN}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
    )
    async with served(bench) as client, connection_to(client) as (reader, writer):
        writer.write(head.encode())
        status, _, body = await rest_of(reader)
    assert (status, body["code"]) == (408, "body_too_slow")


async def test_even_at_the_least_rate_a_small_body_has_a_deadline(bench: Bench) -> None:
    async with served(bench) as client, connection_to(client) as (reader, writer):
        writer.write(TOKEN.replace(b": 100", b": 90000"))
        answered = asyncio.create_task(rest_of(reader))
        began = asyncio.get_running_loop().time()
        while not answered.done():
            writer.write(b" " * 200)
            await asyncio.sleep(0.05)
        assert (await answered)[0] == 408
        assert asyncio.get_running_loop().time() - began > 1


async def test_a_large_upload_over_a_slow_line_arrives(bench: Bench) -> None:
    """It takes twice the deadline and many times the patience, at twice the least rate."""
    job_id = await bench.submit()
    await bench.start(job_id)
    data = b"x" * 6000

    async def slowly() -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        first = loop.time()
        for start in range(0, len(data), 200):
            await asyncio.sleep(first + (start + 200) / 2500 - loop.time())
            yield data[start : start + 200]

    headers = {
        "Content-SHA256": hashlib.sha256(data).hexdigest(),
        "Content-Length": str(len(data)),
        "Authorization": f"Bearer {AGENT_TOKEN}",
    }
    path = f"/api/queue/jobs/{job_id}/attempts/1/artifacts/a.bin"
    async with served(bench) as client:
        began = asyncio.get_running_loop().time()
        answer = await client.put(path, content=slowly(), headers=headers)
        assert asyncio.get_running_loop().time() - began > 2 * QUICK.deadline_seconds * 0.9
    assert answer.status_code < 300, answer.text


async def test_200_slow_bodies_end_and_others_are_served_meanwhile(bench: Bench) -> None:
    limits = BodyLimits(grace_seconds=1.5, per_address=50, in_all=100)
    async with served(bench, limits) as client, AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connection_to(client)) for _ in range(200)]
        for _, writer in slow:
            writer.write(TOKEN + b"{")
        answers = [asyncio.create_task(rest_of(reader, 20)) for reader, _ in slow]
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        # The same address, with all its places taken: what comes whole waits for nobody.
        assert (await client.post("/auth/token", json={"subject_token": "x"})).status_code == 401
        assert (await client.get("/health")).status_code == 200
        codes = [(await each)[0] for each in answers]
    assert sorted(codes) == [408] * 50 + [429] * 150


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers ``/early`` without its body, ``/stream`` while it reads it; else says how long the body was."""
    request = Request(scope, receive, send)
    if scope["path"] == "/early":
        await PlainTextResponse("no")(scope, receive, send)
        return
    if scope["path"] == "/stream":

        async def endless() -> AsyncIterator[bytes]:
            yield b"first "
            await asyncio.Event().wait()

        await StreamingResponse(endless())(scope, receive, send)
        return
    try:
        answer = PlainTextResponse(f"{len(await request.body())} bytes")
    except ApiError as error:
        answer = problem(request, error.code, error.detail, headers=error.headers)
    await answer(scope, receive, send)


@asynccontextmanager
async def plain(app: ASGIApp) -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(app, http=BoundedProtocol) as client:  # pyright: ignore[reportArgumentType]
        yield client


def post(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: api", "Content-Length: 10", *headers, "", "")).encode()


async def test_behind_a_trusted_proxy_each_client_has_places_of_its_own() -> None:
    behind = ProxyHeadersMiddleware(BodyPace(app, QUICK), trusted_hosts=["127.0.0.1"])  # pyright: ignore[reportArgumentType]
    async with plain(behind) as client, AsyncExitStack() as stack:  # pyright: ignore[reportArgumentType]
        readers: dict[str, list[asyncio.StreamReader]] = {"10.0.0.1": [], "10.0.0.2": [], "10.0.0.3": []}
        for address, count in (("10.0.0.1", 4), ("10.0.0.2", 2), ("10.0.0.3", 1)):
            for _ in range(count):
                reader, writer = await stack.enter_async_context(connection_to(client))
                writer.write(post("/", f"X-Forwarded-For: {address}"))
                await asyncio.sleep(0.02)
                readers[address].append(reader)
        found = {address: [await rest_of(reader) for reader in those] for address, those in readers.items() if those}
    assert sorted(status for status, _, _ in found["10.0.0.1"]) == [408, 408, 408, 429]
    assert [status for status, _, _ in found["10.0.0.2"]] == [408, 408]
    [(status, headers, body)] = found["10.0.0.3"]  # the sixth of five
    assert (status, body["code"], headers["connection"]) == (503, "overloaded", "close")
    assert int(headers["retry-after"]) > 0


async def test_a_body_is_counted_only_while_it_is_awaited() -> None:
    async with plain(BodyPace(app, QUICK)) as client:
        for _ in range(2 * QUICK.in_all):
            async with connection_to(client) as (reader, writer):
                writer.write(post("/"))
                await asyncio.sleep(0.01)
                writer.write(b"0123456789")
                assert (await asyncio.wait_for(reader.readuntil(b"10 bytes"), 60)).startswith(b"HTTP/1.1 200")
            async with connection_to(client) as (_, writer):  # goes away in the middle
                writer.write(post("/") + b"0")
                await asyncio.sleep(0.01)


async def test_a_body_that_nobody_reads_does_not_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.3)
    async with plain(BodyPace(app, QUICK)) as client, connection_to(client) as (reader, writer):
        writer.write(post("/early"))
        assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 200")
        ended = asyncio.create_task(all_of(reader))
        for _ in range(9):
            writer.write(b"0")
            await asyncio.sleep(0.06)
        assert await asyncio.wait_for(ended, 1) == b""


async def test_one_that_comes_in_time_after_its_answer_leaves_the_connection_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.3)
    async with plain(BodyPace(app, QUICK)) as client, connection_to(client) as (reader, writer):
        writer.write(post("/early"))
        await reader.readuntil(b"no")
        writer.write(b"0123456789")
        await asyncio.sleep(0.5)
        writer.write(post("/") + b"0123456789")
        assert (await asyncio.wait_for(reader.readuntil(b"10 bytes"), 60)).startswith(b"HTTP/1.1 200")


async def test_a_stream_whose_request_never_ends_does_end() -> None:
    async with plain(BodyPace(app, QUICK)) as client, connection_to(client) as (reader, writer):
        writer.write(post("/stream"))
        await reader.readuntil(b"first")
        await asyncio.wait_for(all_of(reader), 60)


async def test_empty_lines_between_requests_keep_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    async with plain(BodyPace(app, QUICK)) as client, connection_to(client) as (reader, writer):
        writer.write(post("/") + b"0123456789")
        await reader.readuntil(b"10 bytes")
        ended = asyncio.create_task(all_of(reader))
        for _ in range(10):
            writer.write(b"\r\n")
            await asyncio.sleep(0.06)
        assert await asyncio.wait_for(ended, 1) == b""


async def test_a_long_poll_and_a_follower_wait_as_long_as_they_like() -> None:
    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        gone = asyncio.ensure_future(receive())
        await asyncio.wait({gone}, timeout=2 * QUICK.deadline_seconds)
        assert not gone.done()
        gone.cancel()
        await PlainTextResponse("late")(scope, receive, send)

    async with plain(BodyPace(patient, QUICK)) as client:
        assert (await client.post("/", content=b"{}")).text == "late"
