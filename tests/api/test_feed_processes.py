"""The feed of several processes: followers of two APIs, kill -9 of one of them, and what the store has at the end.

Keys are what happens here: an API issues them without Temporal. What a grant reaches is in ``test_feed``.
"""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from api.cli.stack.launching import launch
from tests import servers
from tests.api.conftest import ADMIN_KEY
from tests.api.test_process import HYBRIDCI, answers, base_environment, client, create_tables, process

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


@pytest.fixture
def two(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[str, str, "Killable"]]:
    second = environment | {"HYBRIDCI_PORT": str(servers.free_port())}
    killable = Killable(second, tmp_path / "second.log")
    with process([HYBRIDCI, "api"], environment, tmp_path / "first.log"), client(environment) as first:
        killable.start()
        try:
            servers.wait_until(lambda: answers(first, "/health", 200), seconds=60, what="the first API's start")
            yield _url(environment), _url(second), killable
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


def test_each_follower_of_two_processes_has_what_the_store_has_through_a_kill(
    two: tuple[str, str, Killable],
) -> None:
    first, second, killable = two
    collectors = [Collector(urls) for urls in ([first], [second, first], [second, first], [first, second])]
    threads = [threading.Thread(target=each.run, daemon=True) for each in collectors]
    for each in threads:
        each.start()
    assert all(each.connected.wait(20) for each in collectors)
    acknowledged = issue([first, second], 30, "before")
    writing = threading.Thread(target=lambda: issue([first, second], 20, "during"), daemon=True)
    writing.start()
    killable.kill()
    writing.join(60)
    killable.start()
    acknowledged += issue([second, first], 20, "after")
    with servers.http(first, ADMIN_KEY) as api:
        stored: list[str] = []
        cursor = None
        while True:
            page = api.get(EVENTS, params={"limit": 100, **({"cursor": cursor} if cursor else {})}).json()
            stored += [event["event_id"] for event in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    assert acknowledged == 50
    for each in collectors:
        servers.wait_until(lambda each=each: len(each.told) >= len(stored), seconds=20, what="all events")
        each.stop.set()
        assert sorted(each.told) == sorted(stored), "no gap, and nothing twice"
    issue([first, second], 2, "wake")
