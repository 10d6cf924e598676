"""500 followers of two API processes, one write that is late, kill -9 of an API and the worker together: each follower
has what the store has, once, in order, and nothing of a service that is not its own.
"""

import asyncio
import json
import os
import signal
import subprocess
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from api.cli.stack.launching import launch
from tests.faults.plant import JOBS, Plant
from tests.faults.store_proxy import How, StoreProxy, store_proxy_to
from tests.servers import HOST, free_port, http, wait_until
from workflows.contracts.jobs import SERVICE_LABEL

EVENTS: Final = "/api/events"
FOLLOWERS: Final = 500
OWN, FOREIGN = "cart", "payroll"


@dataclass(slots=True)
class Follower:
    """Follows one API and, when that breaks off, the other, by the id of its last event."""

    urls: Sequence[str]
    key: str
    told: list[str] = field(default_factory=list[str])
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    foreign: list[str] = field(default_factory=list[str])
    position: str = ""
    breaks: int = 0
    connected: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, client: httpx.AsyncClient) -> None:
        while True:
            url = self.urls[self.breaks % 2]
            headers = {"Authorization": f"Bearer {self.key}"}
            headers |= {"Last-Event-ID": self.position} if self.position else {}
            try:
                await self._follow(client, f"{url}{EVENTS}?follow=true&stream=jsonl", headers)
            except httpx.HTTPError:
                await asyncio.sleep(0.2)
            self.breaks += 1

    async def _follow(self, client: httpx.AsyncClient, url: str, headers: dict[str, str]) -> None:
        async with client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != 200:
                await asyncio.sleep(0.2)
                return
            async for line in answer.aiter_lines():
                said = json.loads(line)
                self.position = said["position"]
                self.connected.set()  # the first line says where it stands
                if "id" in said:
                    self._take(said)

    def _take(self, said: dict[str, Any]) -> None:
        self.told.append(said["id"])
        before = self.numbers.get(said["subject"], 0)
        assert int(said["sequence"]) > before, f"{said['subject']}: {said['sequence']} behind {before}"
        self.numbers[said["subject"]] = int(said["sequence"])
        if FOREIGN in json.dumps(said["data"]):
            self.foreign.append(said["id"])


@dataclass(frozen=True, slots=True)
class TwoApis:
    """The plant's own API, and one beside it whose writes go through ``store``."""

    first: str
    second: str
    store: StoreProxy


@pytest.fixture
def apis(plant: Plant, tmp_path: Path) -> Iterator[TwoApis]:
    environment = psutil.Process(plant.stack.children()["api"]).environ()
    aws, second = urlsplit(environment["DYNAMODB_ENDPOINT_URL"]), free_port()
    with store_proxy_to(aws.port or 0, aws.hostname or HOST) as store:
        beside = environment | {"HYBRIDCI_PORT": str(second), "DYNAMODB_ENDPOINT_URL": store.url}
        command = [*psutil.Process(plant.stack.children()["api"]).cmdline()]
        child: subprocess.Popen[bytes] = launch(command, tmp_path / "second.log", env=beside)
        url = f"http://{HOST}:{second}"
        try:
            wait_until(lambda: _healthy(url), seconds=60, what="the second API's start")
            yield TwoApis(plant.stack.url, url, store)
        finally:
            child.kill()
            child.wait(20)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def following(followers: Sequence[Follower]) -> AsyncGenerator[None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(60, read=40)) as client:
        tasks = [asyncio.create_task(each.run(client)) for each in followers]
        try:
            yield
            done = [task for task in tasks if task.done()]
            assert not done, f"a follower failed: {[task.exception() for task in done]}"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _key(plant: Plant, name: str, service: str) -> str:
    grants = [{"role": "operator", "services": [service]}]
    answer = plant.http.post("/api/access/keys", json={"name": name, "grants": grants})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def _submit(plant: Plant, url: str, key: str, names: Sequence[str], service: str) -> list[str]:
    """Each until it is taken."""
    taken: list[str] = []
    for name in names:
        body = {
            "job_type": "test", "git_repo": (plant.folder / "repo").as_uri(), "git_commit_sha": plant.sha,
            "git_author": "ann@example.com", "labels": {SERVICE_LABEL: service},
            "steps": [{"name": "step", "run": "sleep 0.4"}],
        }  # fmt: skip

        def accepted(name: str = name, body: dict[str, Any] = body) -> bool:
            try:
                with http(url, key, seconds=30) as api:
                    answer = api.post(JOBS, json=body, headers={"Idempotency-Key": f"feed-{name}"})
            except httpx.HTTPError:
                return False
            assert answer.status_code in {200, 201, 202, 503}, answer.text
            if answer.status_code != 503:
                taken.append(answer.json()["job_id"])
            return answer.status_code != 503

        wait_until(accepted, seconds=60, what=f"job {name}")
    return taken


def _service(event: dict[str, Any]) -> object:
    """Of a job's event: the service that its label names."""
    return event["details"].get("service")


@dataclass(frozen=True, slots=True)
class Kept:
    """The ids of all events, and of those of the own service."""

    all: set[str]
    own: set[str]

    def without(self, before: "Kept") -> "Kept":
        return Kept(self.all - before.all, self.own - before.own)

    def of(self, follower: Follower, admin: str) -> set[str]:
        return self.all if follower.key == admin else self.own


def _stored(url: str, key: str) -> Kept:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    with http(url, key) as api:
        while True:
            page = api.get(EVENTS, params={"limit": 100, **cursor}).raise_for_status().json()
            found += page["items"]
            if page["next_cursor"] is None:
                own = (event for event in found if OWN in (event["service_name"], _service(event)))
                return Kept({event["event_id"] for event in found}, {event["event_id"] for event in own})
            cursor = {"cursor": page["next_cursor"]}


async def test_each_of_500_followers_has_what_the_store_has(plant: Plant, apis: TwoApis) -> None:
    admin = (plant.stack.data / "admin.key").read_text().strip()
    viewer = _key(plant, "feed-viewer", OWN)
    keys = [viewer if number % 5 == 0 else admin for number in range(FOLLOWERS)]
    both = (apis.first, apis.second)
    followers = [Follower(both[:: 1 if number % 2 else -1], key) for number, key in enumerate(keys)]
    async with following(followers):
        async with asyncio.timeout(60):
            await asyncio.gather(*(each.connected.wait() for each in followers))
        before = await asyncio.to_thread(_stored, apis.first, admin)
        job_ids = await asyncio.to_thread(_under_fire, plant, apis, admin)
        ended = await asyncio.to_thread(plant.wait_ended, job_ids, seconds=90)
        assert {job.status for job in ended} == {"success"}
        await asyncio.to_thread(wait_until, plant.stack.ready, seconds=30, what="ready again")
        kept = (await asyncio.to_thread(_stored, apis.second, admin)).without(before)
        assert len(kept.all) > len(kept.own) >= len(job_ids) // 2
        async with asyncio.timeout(60):
            while any(kept.of(each, admin) - set(each.told) for each in followers):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    in_the_end = _stored(apis.second, admin)
    assert sum(each.breaks for each in followers) >= FOLLOWERS // 2, "those of the API that died went to the other"
    for each in followers:
        assert len(each.told) == len(set(each.told)), "nothing twice"
        assert set(each.told) <= in_the_end.of(each, admin), "and nothing else"
        assert not each.foreign or each.key == admin, "nothing of a foreign service"
    assert followers[1].foreign, "the foreign service was told of to who may see it"


def _under_fire(plant: Plant, apis: TwoApis, key: str) -> list[str]:
    """Jobs of both services while all this happens; their ids."""
    job_ids: list[str] = []
    for service in (OWN, FOREIGN):
        for url in (apis.first, apis.second):
            job_ids += _submit(plant, url, key, [f"{service}-{url[-5:]}-{number}" for number in range(2)], service)
    apis.store.fail(writes=How.HANG)  # a transaction that takes 2 s longer than its neighbours
    late: list[str] = []
    writing = threading.Thread(target=lambda: late.extend(_submit(plant, apis.second, key, ["late"], OWN)))
    writing.start()
    job_ids += _submit(plant, apis.first, key, ["beside-1", "beside-2"], OWN)
    writing.join(2)
    apis.store.mend()
    writing.join(60)
    children = plant.stack.children()
    for victim in ("api", "worker"):
        os.kill(children[victim], signal.SIGKILL)
    for service in (OWN, FOREIGN):
        job_ids += _submit(plant, apis.second, key, [f"{service}-after-{number}" for number in range(2)], service)
    return [*job_ids, *late]
