"""`hybridci deploy rollback` on a service and its environment: by version, by commit, and never what only waits."""

from collections.abc import Iterator

import pytest

from tests.api.cli_bench import Served, served
from tests.api.cli_deploys import LIVE, WAITING, call, change, done, environment_is, is_live, record, started, told
from workflows.contracts.deployments.commands import RollbackCommand
from workflows.contracts.deployments.deployment import (
    DeploymentStatus,
    Rollback,
    RollbackStatus,
)
from workflows.contracts.deployments.environments import RollbackReadiness
from workflows.contracts.deployments.live_again import LiveAgain

OTHER = "b" * 40


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def command(api: Served) -> RollbackCommand:
    last = api.job_client.releases.commands[-1]
    assert isinstance(last, RollbackCommand)
    return last


def test_what_waits_is_never_taken_for_what_is_live(api: Served) -> None:
    live = started(api, "rb-live", "1.2", **LIVE)
    waiting = started(api, "rb-live", "1.3", **WAITING)
    is_live(api, "rb-live", live)
    done(api, "deploy", "rollback", "rb-live", "--reason", "orders fail")
    assert record(api, live).status is DeploymentStatus.ROLLED_BACK
    assert record(api, waiting).status is DeploymentStatus.STAGED


def test_nothing_is_live(api: Served) -> None:
    started(api, "rb-none", **WAITING)
    result = call(api, "deploy", "rollback", "rb-none", "--reason", "r")
    assert result.exit_code == 1
    assert "Nothing is live in production of rb-none" in result.stderr
    assert "`hybridci service show rb-none`" in result.stderr


def test_by_the_beginning_of_a_commit(api: Served) -> None:
    one = started(api, "rb-commit", "1.0", status=DeploymentStatus.SUPERSEDED, closed=True, git_commit_sha=OTHER)
    two = started(api, "rb-commit", "1.1", **LIVE)
    is_live(api, "rb-commit", two, one)
    short = call(api, "deploy", "rollback", "rb-commit", "--reason", "r", "--to-commit", "bbbbbb")
    assert (short.exit_code, "give 7 characters" in short.stderr) == (2, True)
    unknown = call(api, "deploy", "rollback", "rb-commit", "--reason", "r", "--to-commit", "ccccccc")
    assert unknown.exit_code == 1
    assert f"{OTHER[:12]} (1.0)" in unknown.stderr
    both = call(api, "deploy", "rollback", "rb-commit", "--reason", "r", "--to-commit", OTHER, "--to-version", "1.0")
    assert (both.exit_code, "give one of them" in both.stderr) == (2, True)
    told(api, "deploy", "rollback", "rb-commit", "--reason", "r", "--to-commit", "bbbbbbb")
    assert (command(api).to_commit, command(api).to_version) == (OTHER, None)


def test_a_named_deployment_and_another_environment(api: Served) -> None:
    live = started(api, "rb-named", **LIVE)
    is_live(api, "rb-named", live)
    wrong = call(api, "deploy", "rollback", "rb-named@1.0", "--environment", "production", "--reason", "r")
    assert (wrong.exit_code, "--environment goes with a service" in wrong.stderr) == (2, True)
    staging = call(api, "deploy", "rollback", "rb-named", "--environment", "staging", "--reason", "r")
    assert staging.exit_code == 1
    assert told(api, "deploy", "rollback", "rb-named@1.0", "--reason", "r")["deployment_id"] == live


def test_what_is_shown_of_a_rollback(api: Served) -> None:
    job = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
    back = Rollback(
        environment="production", target_version="1.2", forward=True, reason="it was not its fault", by="bob",
        status=RollbackStatus.SUCCEEDED, requested_at=1_700_000_000_000, completed_at=1_700_000_009_000, job_ids=[job],
    )  # fmt: skip
    rolled = started(api, "rb-shown", "1.1")
    change(api, rolled, status=DeploymentStatus.ROLLED_BACK, closed=True, rollback=back, environment="production")
    shown = done(api, "deploy", "show", rolled).stdout
    assert "to 1.2 in production (rolls forward): succeeded, by bob" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("rollback ")]
    assert job[:8] in line
    assert "9" in line
    again = LiveAgain(from_deployment_id=rolled, from_version="1.1", by="bob", at=1, reason="it was not its fault")
    live = started(api, "rb-shown", "1.2", **LIVE, live_again=again)
    environment_is(api, "rb-shown")
    assert "brought back from 1.1 by bob: it was not its fault" in done(api, "deploy", "show", live).stdout


def test_whether_one_could_go_back_is_shown(api: Served) -> None:
    live = started(api, "rb-ready", "1.1", **LIVE)
    for ready, said in ((True, "Rollback: ready to 1.0: all is there"), (False, "Rollback: NOT READY to 1.0: all is")):
        is_live(api, "rb-ready", live)
        state = api.run(api.stores.environments.get("rb-ready", "production"))
        assert state is not None
        found = RollbackReadiness(live=live, target_version="1.0", ready=ready, why="all is there")
        environment_is(api, "rb-ready", live=state.live, rollback=found, sequence=5 if ready else 6)
        assert said in done(api, "deploy", "show", live).stdout
        assert said in done(api, "service", "show", "rb-ready").stdout
