"""``python -m tests.benchmarks.followers [FOLLOWERS] [EVENTS] [IDLE_SECONDS]``: what they cost, and how late they are.

A real API process on the embedded AWS server, and followers with a connection each in this process. First nothing
happens for a while: the API's CPU time is what the followers cost. Then keys are issued, one after the other: from the
time of each event (the API's clock, before it is kept) to the moment at which each follower has it.
Prints the figures; not part of the suite.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import httpx
import psutil

from api.cli.stack.launching import launch
from tests import servers
from tests.api.conftest import ADMIN_KEY
from tests.api.test_process import HYBRIDCI, base_environment, create_tables

_BODY = {"grants": [{"role": "viewer"}]}


@dataclass
class Figures:
    """``idle_cores``: of one core, without and with followers. ``late_ms``: of every event at every follower."""

    idle_cores: float = 0.0
    followed_cores: float = 0.0
    megabytes_per_follower: float = 0.0
    events: int = 0
    cpu_ms_per_event: float = 0.0
    late_ms: list[float] = field(default_factory=list[float])

    def words(self) -> str:
        """For people."""
        cuts = quantiles(self.late_ms, n=100)
        return (
            f"nobody follows: {self.idle_cores:.1%} of a core; followed, nothing happens: {self.followed_cores:.1%}; "
            f"{self.megabytes_per_follower * 1024:.0f} KiB a follower; {self.events} events, "
            f"{self.cpu_ms_per_event:.1f} ms of CPU each; late p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f} ms, "
            f"most {max(self.late_ms):.0f} ms of {len(self.late_ms)}"
        )


async def measure(followers: int, events: int, idle_seconds: float) -> Figures:
    """With a stack of its own."""
    with tempfile.TemporaryDirectory() as folder, servers.aws_endpoint(Path(folder)) as url:
        environment = base_environment(url, "127.0.0.1:1") | {"ENVIRONMENT": "followers"}
        await asyncio.to_thread(create_tables, environment)
        child = launch([HYBRIDCI, "api"], Path(folder) / "api.log", env=environment)
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{environment['HYBRIDCI_PORT']}",
                headers={"Authorization": f"Bearer {ADMIN_KEY}"},
                limits=httpx.Limits(max_connections=followers + 8),
                timeout=httpx.Timeout(60),
            ) as api:
                await _until_up(api)
                return await _measure(api, psutil.Process(child.pid), followers, events, idle_seconds)
        finally:
            child.terminate()
            child.wait(30)


async def _measure(
    api: httpx.AsyncClient, process: psutil.Process, followers: int, events: int, idle_seconds: float
) -> Figures:
    figures = Figures(events=events)
    figures.idle_cores = await _used(process, idle_seconds)
    before = process.memory_info().rss
    told: asyncio.Queue[float] = asyncio.Queue()
    begun: asyncio.Queue[None] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        following = [group.create_task(_follow(api, begun, told, events)) for _ in range(followers)]
        for _ in following:
            await begun.get()
        await asyncio.sleep(1)
        figures.followed_cores = await _used(process, idle_seconds)
        figures.megabytes_per_follower = (process.memory_info().rss - before) / followers / 2**20
        cpu = sum(process.cpu_times()[:2])
        for number in range(events):
            answer = await api.post("/api/access/keys", json={"name": f"key-{number}", **_BODY})
            assert answer.status_code == 201, answer.text
            await asyncio.sleep(0.3)
        figures.late_ms = [await told.get() for _ in range(events * followers)]
        figures.cpu_ms_per_event = (sum(process.cpu_times()[:2]) - cpu) * 1000 / events
    return figures


async def _follow(api: httpx.AsyncClient, begun: asyncio.Queue[None], told: asyncio.Queue[float], events: int) -> None:
    seen = 0
    async with api.stream("GET", "/api/events?follow=true&stream=jsonl") as answer:
        async for line in answer.aiter_lines():
            now = time.time() * 1000
            said = json.loads(line)
            if "id" not in said:
                if not seen:
                    begun.put_nowait(None)
                continue
            seen += 1
            told.put_nowait(now - said["data"]["at"])
            if seen == events:
                return


async def _used(process: psutil.Process, seconds: float) -> float:
    before = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / seconds


async def _until_up(api: httpx.AsyncClient) -> None:
    for _ in range(600):
        try:
            if (await api.get("/health")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the API does not start")


def main(arguments: Sequence[str]) -> None:
    """As the module says."""
    given = [float(each) for each in arguments]
    followers, events, idle = (*given, *(500, 40, 20)[len(given) :])
    print(asyncio.run(measure(int(followers), int(events), idle)).words())


if __name__ == "__main__":
    main(sys.argv[1:])
