"""The stream of a page: what changes and which log grows, from where the stream before ended."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from api.deps import Services
from tests.api.conftest import Bench
from tests.api.live import serving, until
from tests.stores.releases import make_event
from workflows.contracts.statuses import JobStatus


class Stream:
    """What a page is told."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.position = ""

    async def next(self) -> tuple[str, Any]:
        """Name and content of the next message."""
        name = ""
        async with asyncio.timeout(10):
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    self.position = value
                elif field == "data":
                    return name, json.loads(value)
        raise AssertionError("the stream ended")


@asynccontextmanager
async def live(client: httpx.AsyncClient, query: str = "") -> AsyncGenerator[Stream]:
    async with client.stream("GET", f"/live?{query}") as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Stream(answer.aiter_lines())


async def test_a_page_goes_on_where_its_stream_ended_without_a_gap_or_a_repetition(bench: Bench) -> None:
    events = bench.stores.events
    async with serving(bench.app) as client:
        async with live(client) as stream:
            assert await stream.next() == ("begin", {"resumed": False})
            await events.append(make_event("first", deployment_id="d-1"))
            assert (await stream.next())[1] == [{"action": "deployment.approved", "deployment_id": "d-1"}]
            position = stream.position
        await events.append(make_event("while away", deployment_id="d-2"))
        async with live(client, f"after={position}") as stream:
            assert await stream.next() == ("begin", {"resumed": True})
            assert [each["deployment_id"] for each in (await stream.next())[1]] == ["d-2"]
            await events.append(make_event("live", deployment_id="d-3"))
            assert [each["deployment_id"] for each in (await stream.next())[1]] == ["d-3"]
        async with live(client, "after=0-999999") as stream:
            assert await stream.next() == ("begin", {"resumed": False}), "that is the place of another feed"
        assert (await client.get("/live?after=x")).status_code == 422
        assert (await client.get("/live?log=x")).status_code == 422


async def test_a_log_that_grows_is_told_on_the_same_stream(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.log(job_id, 0, b"one\n")
    services: Services = bench.app.state.services
    other = "00000000-0000-4000-8000-000000000000"
    async with serving(bench.app) as client:
        async with live(client, f"log={job_id}:1,{job_id}:1,{other}:1") as stream:
            told = {name: what for name, what in [await stream.next(), await stream.next()]}
            assert told["log"] == {"job_id": job_id, "attempt": 1, "size": 4, "complete": False}
            assert services.log_growth.followed == 1, "nobody follows what is not there"
            await bench.log(job_id, 4, b"two\n", final=True)
            assert (await stream.next())[1] == {"job_id": job_id, "attempt": 1, "size": 8, "complete": True}
            await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS)
        await until(lambda: services.log_growth.followed == 0)
