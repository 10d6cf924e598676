"""A log that is followed: it arrives, ends, is resumed, and outlasts what happens meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import httpx
import pytest

from activities.stores.interfaces.logs import LogChunk, LogStore
from api.deps import Services
from api.logs import stream as log_stream
from api.logs.events import KEEPALIVE_SECONDS, as_events
from api.logs.stream import Event, LogRequest, LogStream, Piece, Quiet
from tests.api.conftest import SPEC, Bench, memory_app
from tests.api.fakes import FakeJobClient
from tests.api.live import serving, until
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.commands import JobInput
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Job, JobSpec
from workflows.contracts.statuses import JobStatus

JOBS = "/api/dashboard/jobs"


async def finished(
    bench: Bench, job_id: str, data: bytes, *, status: JobStatus = JobStatus.SUCCESS, attempt: int = 1
) -> None:
    await bench.start(job_id, attempt)
    await bench.log(job_id, 0, data, attempt=attempt, final=True)
    await bench.job_client.end_attempt(job_id, attempt, status=status, log_bytes=len(data))


async def collect(client: httpx.AsyncClient, path: str, into: list[tuple[float, bytes]]) -> None:
    async with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        async for piece in answer.aiter_raw():
            into += [(time.monotonic(), piece)]


class _Counted:
    """A log store that counts its reads."""

    def __init__(self, inner: LogStore, reads: list[int]) -> None:
        self.append, self._inner, self._reads = inner.append, inner, reads

    def read(self, job_id: str, attempt: int, start: int = 0, end: int | None = None) -> AsyncIterator[LogChunk]:
        self._reads.append(start)
        return self._inner.read(job_id, attempt, start, end)


class _Flaky:
    """A log store that is away for its first ``failures`` reads."""

    def __init__(self, inner: LogStore, failures: int) -> None:
        self._inner, self.left = inner, failures

    async def append(self, job_id: str, attempt: int, chunk: LogChunk) -> None:
        await self._inner.append(job_id, attempt, chunk)

    async def read(self, job_id: str, attempt: int, start: int = 0, end: int | None = None) -> AsyncIterator[LogChunk]:
        if self.left:
            self.left -= 1
            raise Unavailable("S3 does not answer.")
        async for chunk in self._inner.read(job_id, attempt, start, end):
            yield chunk


async def _job_with_log(services: Services, job_client: FakeJobClient) -> Job:
    job = await job_client.submit(JobInput(job_id=new_job_id(), spec=JobSpec.model_validate(SPEC)))
    await job_client.attempt_started(job.job_id, AttemptStarted(attempt=1, agent_id="a", claimed_at=1))
    await services.logs.append(job.job_id, 1, LogChunk(0, b"text", final=True))
    return await job_client.end_attempt(job.job_id, 1, status=JobStatus.SUCCESS, log_bytes=4)


async def test_a_followed_log_arrives_within_a_second_until_the_job_ends(bench: Bench) -> None:
    job_id = await bench.submit()
    seen: list[tuple[float, bytes]] = []
    async with serving(bench.app) as client:
        following = asyncio.create_task(collect(client, f"{JOBS}/{job_id}/logs?follow=true", seen))
        await bench.start(job_id)
        for number in range(3):
            sent = time.monotonic()
            await bench.log(job_id, number * 5, b"tick\n")
            await until(lambda count=number + 1: len(seen) >= count)
            assert seen[-1][0] - sent < 1
        await bench.log(job_id, 15, b"", final=True)
        await bench.job_client.end_attempt(job_id, 1, status=JobStatus.QUEUED, log_bytes=15)
        assert not following.done()
        await bench.start(job_id, 2)
        await bench.log(job_id, 0, b"second\n", attempt=2, final=True)
        await bench.job_client.end_attempt(job_id, 2, status=JobStatus.SUCCESS, log_bytes=7)
        await asyncio.wait_for(following, 60)
    text = b"".join(piece for _, piece in seen)
    assert text == b"tick\ntick\ntick\n[hybridci] attempt 2 on agent agent-7\nsecond\n"


async def test_a_follower_of_one_attempt_ends_with_it(bench: Bench) -> None:
    job_id = await bench.submit()
    await finished(bench, job_id, b"one\n", status=JobStatus.QUEUED)
    answer = await asyncio.wait_for(bench.admin.get(f"{JOBS}/{job_id}/logs?follow=true&attempt=1"), 60)
    assert answer.text == "one\n"


async def test_a_job_that_never_ran_has_an_empty_log_that_ends(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.admin.post(f"{JOBS}/{job_id}/cancel")
    answer = await asyncio.wait_for(bench.admin.get(f"{JOBS}/{job_id}/logs?follow=true"), 60)
    assert (answer.status_code, answer.text) == (200, "")


async def test_a_lost_agents_log_ends_with_a_sentence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_stream, "GRACE_MILLIS", 300)
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"half a li")
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED, log_bytes=0)
    answer = await asyncio.wait_for(bench.admin.get(f"{JOBS}/{job_id}/logs?follow=true"), 60)
    assert answer.text == "half a li\n[hybridci] the rest of attempt 1's log was lost with its agent\n"
    assert (await bench.admin.get(f"{JOBS}/{job_id}/logs")).headers["log-complete"] == "false"


async def test_the_rest_of_a_log_may_come_after_the_report(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"one\n")
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS, log_bytes=8)
    following = asyncio.create_task(bench.admin.get(f"{JOBS}/{job_id}/logs?follow=true"))
    await asyncio.sleep(0.5)  # longer than a poll: the follower has seen the job's end
    assert not following.done()
    await bench.log(job_id, 4, b"two\n", final=True)
    assert (await asyncio.wait_for(following, 60)).text == "one\ntwo\n"


async def test_followers_end_when_the_server_stops(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"begun\n")
    following = asyncio.create_task(bench.admin.get(f"{JOBS}/{job_id}/logs?follow=true"))
    await asyncio.sleep(0)
    bench.stop.append(True)
    text = (await asyncio.wait_for(following, 60)).text
    assert text.endswith("[hybridci] the server is stopping; go on with start=6\n") or text.endswith("start=0\n")


async def test_a_client_that_leaves_ends_its_generator(bench: Bench) -> None:
    reads: list[int] = []
    job_id = await bench.submit()
    await bench.start(job_id)
    services: Services = bench.app.state.services
    bench.app.state.services = replace(services, logs=_Counted(services.logs, reads))
    async with serving(bench.app) as client:
        async with client.stream("GET", f"{JOBS}/{job_id}/logs?follow=true") as answer:
            assert answer.status_code == 200
            await until(lambda: len(reads) >= 2)
        await asyncio.sleep(0.5)
        after = len(reads)
        await asyncio.sleep(0.8)  # more than two polls
        assert len(reads) <= after + 1


async def test_events_can_be_resumed_where_they_broke_off(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, "ab✓".encode()[:3])  # cut inside a character
    await bench.log(job_id, 3, "ab✓".encode()[3:] + b"\n\r\nend", final=True)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS, log_bytes=11)
    path = f"{JOBS}/{job_id}/logs?format=sse&follow=true"
    answer = await bench.admin.get(path)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in answer.text.strip().split("\n\n")]
    assert [event["event"] for event in events] == ["log", "log", "end"]
    assert "".join(json.loads(event["data"])["text"] for event in events[:2]) == "ab✓\n\r\nend"
    assert [event.get("id") for event in events] == ["1:2", "1:11", None]
    end = {"attempt": 1, "offset": 11, "complete": True, "status": "success", "altered": False}
    assert json.loads(events[2]["data"]) == end
    resumed = await bench.admin.get(path, headers={"Last-Event-ID": events[0]["id"]})
    first = resumed.text.split("\n\n")[0]
    assert json.loads(first.split("data: ")[1])["text"] == "✓\n\r\nend"
    assert (await bench.admin.get(path, headers={"Last-Event-ID": "x"})).status_code == 422


async def test_a_follower_outlasts_an_outage_and_a_reader_gets_503() -> None:
    app, stores, job_client, _ = memory_app()
    services: Services = app.state.services
    job = await _job_with_log(services, job_client)
    flaky = _Flaky(stores.logs, 2)
    broken = replace(services, logs=flaky)
    found = [event async for event in LogStream(broken, job, LogRequest(1, follow=True)).events()]
    assert b"".join(event.chunk.data for event in found if isinstance(event, Piece)) == b"text"
    flaky.left = 1
    with pytest.raises(Unavailable):
        [event async for event in LogStream(broken, job, LogRequest(1)).events()]


async def test_a_quiet_event_stream_shows_signs_of_life() -> None:
    async def quiet() -> AsyncGenerator[Event]:
        for _ in range(round(2 * KEEPALIVE_SECONDS / log_stream.POLL_SECONDS) + 1):
            yield Quiet()

    assert [piece async for piece in as_events(quiet())] == [b": still following\n\n"] * 2


async def test_the_last_lines_can_be_followed(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"1\n2\n3\n")
    following = asyncio.create_task(bench.admin.get(f"{JOBS}/{job_id}/logs", params={"lines": "-2", "follow": "true"}))
    await asyncio.sleep(0.4)
    await bench.log(job_id, 6, b"4\n", final=True)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS, log_bytes=8)
    assert (await asyncio.wait_for(following, 60)).text == "2\n3\n4\n"
