"""Many open dashboards: what their streams cost while nothing happens, and how soon one change reaches all of them."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final

import psutil

from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import StreamFigures
from api.cli.benchmark.wire import BenchmarkFailed
from api.cli.stack.children import LOOPBACK

_SETTLE_SECONDS: Final = 2.0
_QUIET_SECONDS: Final = 15.0
_CHANGES: Final = 5
_LATEST_SECONDS: Final = 30.0
_AT_ONCE: Final = 20


def measure_streams(stack: OwnStack, count: int, say: Callable[[str], None]) -> StreamFigures:
    """``count`` streams of one key. Raises BenchmarkFailed."""
    return asyncio.run(_measure(stack, count, say))


async def _measure(stack: OwnStack, count: int, say: Callable[[str], None]) -> StreamFigures:
    key = stack.data.admin_key.read_text(encoding="utf-8").strip()
    ready = asyncio.Semaphore(_AT_ONCE)

    async def opened() -> _Stream:
        async with ready:
            return await _Stream.open(stack.options.api_port, key)

    streams = await asyncio.gather(*(opened() for _ in range(count)))
    try:
        await asyncio.sleep(_SETTLE_SECONDS)
        api = stack.processes()["api"]
        percent = await asyncio.to_thread(_busy, api)
        say(f"dashboard: {count} streams cost {percent:.1f} % of a core at rest")
        reached = sorted([await _change(stack, streams, number) for number in range(_CHANGES)])
    finally:
        for each in streams:
            each.close()
    return StreamFigures(
        streams=count, idle_cpu_percent=round(percent, 1), reached_ms=round(reached[len(reached) // 2])
    )


def _busy(process: psutil.Process) -> float:
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(_QUIET_SECONDS)  # rest itself is what is measured
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began) * 100


async def _change(stack: OwnStack, streams: list["_Stream"], number: int) -> float:
    """Register a service; the time until the last stream tells of it, in ms."""
    name = f"changed-{number}"
    waiting = [asyncio.create_task(each.until(name)) for each in streams]
    spec = {"git_repo": "https://git.example.com/x.git", "environments": [{"name": "staging", "steps": _STEPS}]}

    def register() -> None:
        with stack.api() as api:
            api.register(name, spec)

    began = time.perf_counter()
    changing = asyncio.create_task(asyncio.to_thread(register))
    try:
        async with asyncio.timeout(_LATEST_SECONDS):
            ends = await asyncio.gather(*waiting)
    except TimeoutError:
        told = sum(each.done() for each in waiting)
        raise BenchmarkFailed(
            f"A change reached {told} of {len(streams)} streams in {_LATEST_SECONDS:.0f} s."
        ) from None
    finally:
        await changing
    return (max(ends) - began) * 1e3


_STEPS: Final = [{"name": "deploy", "run": "true"}]


class _Stream:
    """One open stream, over a socket of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, key: str) -> "_Stream":
        """Once the server follows the feed for it. Raises BenchmarkFailed."""
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(f"GET /live HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchmarkFailed(f"A stream was answered with {head[:60]!r}.")
        await reader.readuntil(b"\n\n")
        return cls(reader, writer)

    async def until(self, name: str) -> float:
        """When it told of this service."""
        words = json.dumps(name).encode()
        while words not in await self._reader.readuntil(b"\n\n"):
            pass
        return time.perf_counter()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
