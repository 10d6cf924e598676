"""`hybridci freeze` and `hold` of many services, `service archive` and its like. A real API, with fakes behind it."""

from collections.abc import Iterator

import pytest

from tests.api.cli_bench import Served, served
from tests.api.cli_deploys import call, done, register, told


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def test_a_freeze_of_many_is_added_listed_shown_and_removed(api: Served) -> None:
    register(api, "shop")
    words = ("--environment", "production", "--except", "status", "--name", "fair", "--for", "2h", "--reason", "r")
    added = done(api, "freeze", "add", "--all", *words)
    assert added.stdout.startswith("production of all services but status: frozen until ")
    (stop,) = told(api, "freeze", "list")
    assert f"hybridci freeze remove {stop['stop_id']}" in added.stderr
    assert (stop["scope"]["exceptions"], stop["allow_override"]) == (["status"], True)
    assert stop["stop_id"] in done(api, "freeze", "list").stdout
    assert (
        f"FROZEN with {stop['scope'] and 'production of all services but status'}"
        in done(api, "service", "show", "shop").stdout
    )
    done(api, "freeze", "remove", stop["stop_id"])
    assert done(api, "freeze", "list").stdout == "No freezes of many services.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("freeze", "add", "--for", "2h"), "Say what is frozen"),
        (("freeze", "add", "shop", "--all", "--for", "2h", "--reason", "r"), "Say what is frozen"),
        (("freeze", "add", "--all", "--for", "2h"), "needs a --reason"),
        (("freeze", "add", "--all", "--label", "a=b", "--for", "2h", "--reason", "r"), "one of --all"),
        (("freeze", "add", "--except", "a", "--for", "2h"), "say --all or --label"),
        (("hold", "add", "--reason", "r"), "Say which services"),
    ],
)
def test_what_says_no_services_is_refused(api: Served, words: tuple[str, ...], said: str) -> None:
    result = call(api, *words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_a_hold_of_a_team_is_released(api: Served) -> None:
    held = done(api, "hold", "add", "--label", "team=payments", "--reason", "incident")
    assert held.stdout == "services with team=payments: on hold by admin.\n"
    (stop,) = told(api, "hold", "list")
    assert stop["stop_id"] in done(api, "hold", "list").stdout
    assert "released" in done(api, "hold", "release", stop["stop_id"]).stdout
    assert call(api, "hold", "release", stop["stop_id"]).exit_code == 1


def test_a_service_is_archived_and_deleted(api: Served) -> None:
    register(api, "old")
    assert call(api, "service", "delete", "old").exit_code == 1
    assert done(api, "service", "archive", "old", "--reason", "replaced").stdout == "old: archived.\n"
    assert "old" not in done(api, "service", "list").stdout
    assert "old" in done(api, "service", "list", "--archived").stdout
    assert "# ARCHIVED by admin" in done(api, "service", "show", "old").stdout
    assert done(api, "service", "unarchive", "old").stdout == "old: in use again.\n"
    done(api, "service", "archive", "old", "--reason", "replaced")
    assert done(api, "service", "delete", "old").stdout == "old: deleted.\n"
    assert call(api, "service", "show", "old").exit_code == 1
