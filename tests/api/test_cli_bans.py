"""Bans, and going back on purpose, from the command line against the real API application over a real socket."""

from collections.abc import Iterator

import pytest

from tests.api.cli_bench import Served, served
from tests.api.cli_deploys import LIVE, SHA, call, change, done, record, register, started, told
from workflows.contracts.deployments.commands import RollbackCommand
from workflows.contracts.deployments.environments import Order
from workflows.contracts.deployments.relations import HowFound, Relation


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def test_a_version_is_banned_listed_and_unbanned(api: Served) -> None:
    register(api, "bad-one")
    assert done(api, "deploy", "bans", "bad-one").stdout == "Nothing of bad-one is banned.\n"
    said = done(api, "deploy", "ban", "bad-one@1.1", "--reason", "loses orders")
    assert said.stdout == "1.1 of bad-one: banned.\n"
    done(api, "deploy", "ban", "bad-one", "--commit", SHA, "--reason", "leaks a key")
    table = done(api, "deploy", "bans", "bad-one").stdout
    assert "1.1" in table
    assert SHA[:12] in table
    assert "loses orders" in table
    assert [each["version"] for each in told(api, "deploy", "bans", "bad-one")] == [None, "1.1"]
    refused = call(api, "deploy", "start", "bad-one", "--version", "1.1", "--sha", "c" * 40, "--author", "a")
    assert refused.exit_code == 1
    assert "1.1 of bad-one is banned: admin banned it at" in refused.stderr
    lifted = done(api, "deploy", "unban", "bad-one@1.1", "--reason", "it was the network")
    assert lifted.stdout == "1.1 of bad-one: banned no more.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deploy", "ban", "shop", "--reason", "x"), "Name a version, as in shop@1.1, or a commit with --commit."),
        (("deploy", "start", "shop", "--version", "1", "--allow-older"), "--allow-older and --lift-ban need --reason"),
        (("deploy", "start", "shop", "--version", "1", "--reason", "x"), "--allow-older and --lift-ban need --reason"),
        (("deploy", "rollback", "shop", "--reason", "x", "--lift-ban"), "--lift-ban needs --to-version"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_asked(api: Served, arguments: tuple[str, ...], words: str) -> None:
    refused = call(api, *arguments)
    assert refused.exit_code == 2
    assert words in refused.stderr


def test_a_start_goes_back_on_purpose_and_lifts_a_ban(api: Served) -> None:
    register(api, "on-purpose")
    done(api, "deploy", "ban", "on-purpose@1.1", "--reason", "slow")
    purpose = ("--allow-older", "--lift-ban", "--reason", "1.2 is worse")
    start = ("deploy", "start", "on-purpose", "--version", "1.1", "--sha", SHA, "--author", "a")
    made = told(api, *start, *purpose)
    assert made["version"] == "1.1"
    assert told(api, "deploy", "bans", "on-purpose") == []


def test_a_rollback_can_leave_what_it_left_unbanned(api: Served) -> None:
    register(api, "no-ban")
    for version, more in (("1.0", []), ("1.1", ["--no-ban"])):
        deployment_id = started(api, "no-ban", version, **LIVE)
        done(api, "deploy", "rollback", deployment_id, "--reason", "x", *more)
    commands = [each for each in api.job_client.releases.commands if isinstance(each, RollbackCommand)]
    assert [each.ban for each in commands[-2:]] == [True, False]


def test_show_and_list_say_how_the_commit_stands(api: Served) -> None:
    register(api, "in-order")
    deployment_id = started(api, "in-order")
    other = Relation(
        environment="production", deployment_id="d", version="2.0", git_commit_sha=SHA, place="is live in production",
        order=Order.UNKNOWN, found=HowFound.NOT, at=1, why="no agent of pool default answers",
    )  # fmt: skip
    change(api, deployment_id, relations=[other])
    assert record(api, deployment_id).remarks == ["order to 2.0 unknown"]
    shown = done(api, "deploy", "show", deployment_id).stdout
    assert "production: order to 2.0 unknown, which is live in production (no agent of pool default answers)" in shown
    assert "order to 2.0 unknown" in done(api, "deploy", "list", "--service", "in-order").stdout
