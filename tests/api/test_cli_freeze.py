"""`hybridci freeze`. A real API over HTTP, with fakes behind it."""

from collections.abc import Iterator

import pytest

from tests.api.cli_bench import Served, served
from tests.api.cli_deploys import STEPS, WAITING, call, done, register, started, told
from workflows.contracts.deployments.environments import (
    FreezeCommand,
)


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


class TestFreezes:
    def test_add_list_remove(self, api: Served) -> None:
        window = {"name": "nights", "cron": "0 22 * * *", "duration_seconds": 28_800, "timezone": "Europe/Berlin"}
        environments = [{"name": "production", "steps": STEPS, "freeze_windows": [window]}]
        register(api, "frozen", environments=environments)
        added = done(api, "freeze", "add", "frozen", "--name", "sale", "--for", "2h", "--reason", "r", "--as", "bob")
        assert added.stdout.startswith("production of frozen: frozen (sale).\n")
        command = api.job_client.releases.commands[-1]
        assert isinstance(command, FreezeCommand)
        assert command.by == "admin for bob"
        assert f"hybridci freeze remove frozen {command.freeze_id}" in added.stderr
        lines = done(api, "freeze", "list", "frozen").stdout.splitlines()
        assert lines[1].split()[:3] == ["production", command.freeze_id, "sale"]
        assert " FROZEN " in lines[1]
        assert "0 22 * * * Europe/Berlin" in lines[2]
        listed = told(api, "freeze", "list", "frozen", "--environment", "production")
        assert [each["name"] for each in listed[0]["freeze_windows"]] == ["nights"]
        assert "freeze sale removed" in done(api, "freeze", "remove", "frozen", "sale").stdout
        assert told(api, "freeze", "list", "frozen")[0]["freezes"] == []
        gone = call(api, "freeze", "remove", "frozen", command.freeze_id)
        assert gone.exit_code == 1
        assert "hybridci freeze list frozen" in gone.stderr

    def test_one_that_is_to_come_is_not_said_to_be_on(self, api: Served) -> None:
        register(api, "frozen-later")
        words = ("freeze", "add", "frozen-later", "--name", "sale", "--from", "2126-12-24T08:00", "--for", "2h")
        assert done(api, *words).stdout.startswith(
            "production of frozen-later: will be frozen from 2126-12-24 08:00:00"
        )

    def test_a_name_twice_must_be_told_apart(self, api: Served) -> None:
        register(api, "frozen-twice")
        for _ in range(2):
            done(api, "freeze", "add", "frozen-twice", "--name", "sale", "--until", "2126-12-27T08:00")
        result = call(api, "freeze", "remove", "frozen-twice", "sale")
        assert result.exit_code == 2
        assert "2 freezes are called sale" in result.stderr
        assert call(api, "freeze", "add", "frozen-twice", "--name", "sale").exit_code == 2

    def test_override(self, api: Served) -> None:
        deployment_id = started(api, "override", **WAITING)
        result = done(api, "freeze", "override", "override", "--reason", "repairs the outage")
        assert "does not wait for the freeze" in result.stdout
        assert f"Deployment {deployment_id}" in result.stderr
