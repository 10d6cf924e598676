"""HEAD is answered as GET is, without a body: on every route, also where GET would stream."""

import asyncio
import re

import pytest

from api.auth.permissions import ROUTES
from tests.api.conftest import Bench

STREAMS = ("/api/events?follow=true", "/live")


@pytest.fixture
async def ids(bench: Bench) -> dict[str, str]:
    job_id = await bench.submit()
    await bench.register()
    deployment_id = await bench.deploy()
    return {"job_id": job_id, "name": "checkout", "deployment_id": deployment_id, "environment": "production"}


async def test_every_address_that_is_read_answers_head(bench: Bench, ids: dict[str, str]) -> None:
    looked = 0
    for route in ROUTES:
        method, _, path = route.partition(" ")
        if method != "GET" or path in STREAMS:
            continue
        address = re.sub(r"\{(\w+)(:\w+)?\}", lambda place: ids.get(place[1], "none"), path)
        read = await bench.admin.get(address)
        head = await bench.admin.head(address)
        assert (head.status_code, head.content) == (read.status_code, b""), address
        assert head.headers.get("content-type") == read.headers.get("content-type"), address
        looked += read.status_code == 200
    assert looked > 20


@pytest.mark.parametrize("path", STREAMS)
async def test_what_streams_ends_after_its_headers(bench: Bench, path: str) -> None:
    answer = await asyncio.wait_for(bench.admin.head(path), 60)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_what_an_address_takes_is_told_with_it(bench: Bench) -> None:
    refused = await bench.admin.put("/api/dashboard/jobs")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert (await bench.admin.put("/api/queue/jobs/batch")).headers["allow"] == "POST"


async def test_a_change_is_not_asked_for_by_head(bench: Bench, ids: dict[str, str]) -> None:
    assert (await bench.admin.head(f"/api/dashboard/jobs/{ids['job_id']}/cancel")).status_code == 405
