"""The feed of several processes: followers of two APIs, a store that is slow for the writes of one of them, kill -9 of
that one, and what the store has at the end.

Keys are what happens here: an API issues them without Temporal. What a grant reaches is in ``test_feed``.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from api.cli.stack.launching import launch
from tests import servers
from tests.api.conftest import ADMIN_KEY
from tests.api.test_process import HYBRIDCI, answers, base_environment, client, create_tables, process
from tests.faults.store_proxy import How, StoreProxy, store_proxy_to

EVENTS = "/api/events"
KEYS = "/api/access/keys"


@dataclass
class Collector:
    """Follows one API and then, when that goes away, the other, by the id of its last event."""

    urls: list[str]
    told: list[str] = field(default_factory=list[str])
    position: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    connected: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        turn = 0
        while not self.stop.is_set():
            headers = {"Last-Event-ID": self.position} if self.position else {}
            try:
                with (
                    servers.http(self.urls[turn % len(self.urls)], ADMIN_KEY) as api,
                    api.stream("GET", f"{EVENTS}?follow=true&stream=jsonl", headers=headers) as answer,
                ):
                    for line in answer.iter_lines():
                        said = json.loads(line)
                        self.position = said["position"]
                        if "id" in said:
                            self.told.append(said["id"])
                        self.connected.set()
                        if self.stop.is_set():
                            return
            except httpx.HTTPError:
                pass
            turn += 1


@pytest.fixture
def environment(aws_endpoint: str) -> dict[str, str]:
    made = base_environment(aws_endpoint, "127.0.0.1:1") | {"ENVIRONMENT": f"feed{servers.free_port()}"}
    create_tables(made)
    return made


@dataclass(frozen=True, slots=True)
class Two:
    """The addresses of two APIs, the second one's process, and the way of its writes to the store."""

    first: str
    second: str
    killable: "Killable"
    store: StoreProxy


@pytest.fixture
def two(environment: dict[str, str], tmp_path: Path) -> Iterator[Two]:
    port = urlsplit(environment["DYNAMODB_ENDPOINT_URL"]).port
    assert port is not None
    with (
        store_proxy_to(port) as store,
        process([HYBRIDCI, "api"], environment, tmp_path / "first.log"),
        client(environment) as first,
    ):
        second = environment | {"HYBRIDCI_PORT": str(servers.free_port()), "DYNAMODB_ENDPOINT_URL": store.url}
        killable = Killable(second, tmp_path / "second.log")
        killable.start()
        try:
            servers.wait_until(lambda: answers(first, "/health", 200), seconds=60, what="the first API's start")
            yield Two(_url(environment), _url(second), killable, store)
        finally:
            killable.kill()


class Killable:
    """An API that is ended without a word."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._environment, self._log = environment, log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._child = launch([HYBRIDCI, "api"], self._log, env=self._environment)
        with client(self._environment) as api:
            servers.wait_until(lambda: answers(api, "/health", 200), seconds=60, what="the second API's start")

    def kill(self) -> None:
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait(20)


def _url(environment: Mapping[str, str]) -> str:
    return f"http://127.0.0.1:{environment['HYBRIDCI_PORT']}"


def issue(urls: list[str], count: int, name: str) -> int:
    """Issue keys at these APIs in turn; returns how many were acknowledged."""
    done = 0
    for number in range(count):
        body = {"name": f"{name}-{number}", "grants": [{"role": "viewer"}]}
        try:
            with servers.http(urls[number % len(urls)], ADMIN_KEY) as api:
                done += api.post(KEYS, json=body).status_code == 201
        except httpx.HTTPError:
            continue
    return done


def stored(url: str) -> list[str]:
    """The ids of all events that the lists have."""
    found: list[str] = []
    cursor = None
    with servers.http(url, ADMIN_KEY) as api:
        while True:
            page = api.get(EVENTS, params={"limit": 100, **({"cursor": cursor} if cursor else {})}).json()
            found += [event["event_id"] for event in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


def test_each_follower_of_two_processes_has_what_the_store_has(two: Two) -> None:
    first, second = two.first, two.second
    collectors = [Collector(urls) for urls in ([first], [second, first], [second, first], [first, second])]
    for each in collectors:
        threading.Thread(target=each.run, daemon=True).start()
    assert all(each.connected.wait(20) for each in collectors)
    acknowledged = issue([first, second], 30, "before")

    two.store.fail(writes=How.HANG)  # what the second process writes takes 2 s longer than its neighbours
    late: list[int] = []
    writing = threading.Thread(target=lambda: late.append(issue([second], 1, "late")), daemon=True)
    writing.start()
    acknowledged += issue([first], 15, "meanwhile")
    for each in collectors:
        servers.wait_until(lambda each=each: len(each.told) >= acknowledged, seconds=60, what="the others' events")
    assert writing.is_alive(), "the late one is still on its way"
    time.sleep(2)
    two.store.mend()
    writing.join(60)
    acknowledged += sum(late)

    writing = threading.Thread(target=lambda: issue([first, second], 20, "during"), daemon=True)
    writing.start()
    two.killable.kill()
    writing.join(60)
    two.killable.start()
    acknowledged += issue([second, first], 20, "after")
    assert acknowledged == 30 + 15 + 1 + 20
    kept = stored(first)
    for each in collectors:
        servers.wait_until(lambda each=each: len(each.told) >= len(kept), seconds=60, what="all events")
        each.stop.set()
        assert sorted(each.told) == sorted(kept), "no gap, and nothing twice"
    issue([first, second], 2, "wake")
