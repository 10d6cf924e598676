"""`hybridci storage` against the real API application over a real socket."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from api.cli.commands import storage
from tests.api.cli_bench import ADMIN_KEY, Served, environment, served
from tests.api.fake_sweeps import FakeSweeps
from workflows.contracts.errors import Unavailable
from workflows.contracts.storage.retention import RetentionPolicy


@pytest.fixture
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(api: Served, *arguments: str) -> Result:
    env: dict[str, str | None] = {**environment(api.url, ADMIN_KEY), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(storage.app, list(arguments), env=env)


def sweeps_of(api: Served) -> FakeSweeps:
    found = api.app.state.services.storage_client
    assert isinstance(found, FakeSweeps)
    return found


def test_it_shows_how_long_each_kind_is_kept(api: Served) -> None:
    sweeps_of(api).policy = RetentionPolicy(jobs=90 * 86_400, logs=30 * 86_400)
    result = call(api)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert rows["KIND"].split()[:2] == ["KIND", "ITEMS"]
    assert "90 d" in rows["jobs"]
    assert "30 d" in rows["logs"]
    assert "for ever" in rows["deployments"]
    assert json.loads(call(api, "--json").stdout)["policy"]["jobs"] == 90 * 86_400


def test_it_says_what_it_does_not_know(api: Served) -> None:
    sweeps_of(api).failure = Unavailable("Temporal does not answer.")
    result = call(api)
    assert result.exit_code == 0, result.output
    assert "What the next sweep takes is not known: Temporal does not answer." in result.output
    assert "for ever" not in result.output


def test_a_sweep_says_what_it_did_and_is_shown_as_the_last_one(api: Served) -> None:
    sweeps_of(api).policy = RetentionPolicy(jobs=60)
    result = call(api, "sweep", "--dry-run")
    assert (result.exit_code, result.stdout.splitlines()[1]) == (0, "jobs: 0 looked at, 0 would be removed")
    result = call(api, "sweep", "--reason", "the disk is full")
    assert (result.exit_code, result.stdout.splitlines()[1]) == (0, "jobs: 0 looked at, 0 removed")
    assert [(each.dry_run, each.reason) for each in sweeps_of(api).asked] == [(True, None), (False, "the disk is full")]
    assert "Last sweep" in call(api).stdout
    assert json.loads(call(api, "sweep", "--json").stdout)["result"]["kinds"]


def test_one_that_takes_long_is_under_way(api: Served) -> None:
    sweeps_of(api).slow = True
    result = call(api, "sweep")
    assert result.exit_code == 0
    assert "under way" in result.stdout
