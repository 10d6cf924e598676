"""`hybridci events` against the real API over a real socket: lists, and follows through lines that break."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.commands import events
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, Line, Served, environment, served
from tests.stores.releases import make_event


@pytest.fixture
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(api: Served, *arguments: str) -> Result:
    env: dict[str, str | None] = {**environment(api.url, ADMIN_KEY), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(events.app, list(arguments), env=env)


def add(api: Served, *ids: str, **about: Any) -> None:
    for each in ids:
        api.run(api.stores.events.append(make_event(each, **about)))


def test_a_list_is_narrowed_and_newest_first(api: Served) -> None:
    add(api, "a", service_name="cart", environment="production", message="approved")
    add(api, "b", action="pool.scaled", pool="arm")
    assert [each["event_id"] for each in json.loads(call(api, "--json").stdout)["items"]] == ["b", "a"]
    people = call(api, "--environment", "production").stdout
    assert "deployment.approved" in people
    assert "pool.scaled" not in people
    assert json.loads(call(api, "--pool", "arm", "--type", "pool.", "--json").stdout)["items"][0]["event_id"] == "b"
    assert call(api, "--until", "2020-01-01").stdout == "Nothing.\n"
    refused = call(api, "--since", "soon")
    assert (refused.exit_code, "is no time" in refused.stderr) == (2, True)
    for alone in (["--after", "0-1"], ["--from-first"]):
        lost = call(api, *alone)
        assert (lost.exit_code, "--follow" in lost.stderr) == (2, True)


def test_a_place_that_is_none_is_said_and_nothing_is_tried_again(api: Served) -> None:
    result = call(api, "--follow", "--after", "nowhere")
    assert result.exit_code == 1
    assert "Last-Event-ID" in result.stderr or "last-event-id" in result.stderr


def test_following_outlasts_lines_that_break_without_a_gap_or_a_repetition(api: Served, tmp_path: Path) -> None:
    """Each breaks somewhere, also in the middle of an event; the next one goes on behind the last whole one."""
    add(api, *(f"kept-{number}" for number in range(5)))
    line = Line(api.port, [1500, 700, 3000, 900, 2048])
    told = tmp_path / "told.jsonl"
    command = [sys.executable, "-m", "api.cli.main", "events", "--follow", "--from-first", "--json"]
    try:
        with told.open("wb") as out, subprocess.Popen(command, stdout=out, env=environment(line.url)) as process:
            for number in range(20):
                add(api, f"live-{number}")
            wanted = [*(f"kept-{n}" for n in range(5)), *(f"live-{n}" for n in range(20))]
            servers.wait_until(lambda: len(told.read_text().splitlines()) >= 25, seconds=60, what="all events")
            process.terminate()
        ids = [json.loads(each)["id"] for each in told.read_text().splitlines()]
        assert ids == wanted
        assert line.connections >= 6
    finally:
        line.close()


def test_events_are_shown_to_people_as_lines(api: Served, tmp_path: Path) -> None:
    add(api, "one", action="deployment.live", deployment_id="d", message="1.4 is live", reason="asked")
    told = tmp_path / "told.txt"
    command = [sys.executable, "-m", "api.cli.main", "events", "--follow", "--from-first", "--type", "deployment."]
    with told.open("wb") as out, subprocess.Popen(command, stdout=out, env=environment(api.url)) as process:
        servers.wait_until(lambda: told.read_text() != "", seconds=60, what="the event")
        process.terminate()
    assert "deployment.live  deployments/d  ann  1.4 is live (asked)" in told.read_text()
