"""`hybridci health` and `repair` against the real API application over a real socket."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from api.cli.commands import health, job, repair
from tests.api.cli_bench import ADMIN_KEY, Served, environment, served
from tests.api.fake_repairs import FakeRepairs, stuck_environment, stuck_job
from workflows.contracts.errors import Unavailable
from workflows.contracts.repairs import RepairOutcome

APPS = {"health": health.app, "repair": repair.app, "job": job.app}


@pytest.fixture
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(api: Served, *arguments: str) -> Result:
    env: dict[str, str | None] = {**environment(api.url, ADMIN_KEY), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(APPS[arguments[0]], list(arguments[1:]), env=env)


def repairs_of(api: Served) -> FakeRepairs:
    found = api.app.state.services.repair_client
    assert isinstance(found, FakeRepairs)
    return found


def test_health_says_that_nothing_is_stuck(api: Served) -> None:
    result = call(api, "health")
    assert (result.exit_code, result.stdout) == (0, "Nothing is stuck.\n")
    assert json.loads(call(api, "health", "--json").stdout)["status"] == "healthy"


def test_health_names_what_is_stuck_and_its_cure(api: Served) -> None:
    job_id = api.submit()
    repairs_of(api).found = [stuck_job(job_id), stuck_environment("checkout", "production")]
    result = call(api, "health")
    assert result.exit_code == 1
    head, first, second = result.stdout.splitlines()
    assert head.split("  ")[0] == "STUCK"
    assert first.startswith(f"job {job_id}  NonDeterministicError")
    assert f'hybridci repair job {job_id[:8]} --reason "…"' in first
    assert second.startswith("environment production of checkout")
    assert call(api, "health", "--json").exit_code == 1


def test_more_than_are_listed_are_counted(api: Served) -> None:
    repairs_of(api).found = [stuck_job(f"{number:08d}") for number in range(60)]
    assert call(api, "health").stdout.splitlines()[-1] == "… and 10 more."


def test_a_job_is_repaired_and_says_what_became_of_it(api: Served) -> None:
    job_id = api.submit()
    repairs_of(api).found = [stuck_job(job_id)]
    result = call(api, "repair", "job", job_id[:8], "--reason", "outage", "--end")
    assert (result.exit_code, result.stdout) == (0, f"reset: job {job_id} goes on.\n"), result.output
    (asked,) = repairs_of(api).asked
    assert (asked.command.via, asked.command.reason, asked.command.end) == ("cli", "outage", True)
    again = call(api, "repair", "job", job_id, "--reason", "outage")
    assert (again.exit_code, "is not stuck" in again.stderr) == (1, True)


def test_a_long_repair_is_no_failure(api: Served) -> None:
    job_id = api.submit()
    repairs_of(api).found, repairs_of(api).outcome = [stuck_job(job_id)], None
    result = call(api, "repair", "job", job_id, "--reason", "outage", "--json")
    assert (result.exit_code, json.loads(result.stdout)["outcome"]) == (0, RepairOutcome.UNDER_WAY)


def test_an_environment_is_named_with_its_service(api: Served) -> None:
    for wrong in ("production", "checkout/", "/production"):
        result = call(api, "repair", "environment", wrong, "--reason", "x")
        assert (result.exit_code, "SERVICE/ENVIRONMENT" in result.stderr) == (2, True), wrong
    missing = call(api, "repair", "environment", "checkout/production", "--reason", "x")
    assert missing.exit_code == 1


def test_show_says_that_a_job_is_stuck(api: Served) -> None:
    job_id = api.submit()
    assert "cannot go on" not in call(api, "job", "show", job_id).stderr
    repairs_of(api).found = [stuck_job(job_id)]
    shown = call(api, "job", "show", job_id)
    assert f'Repair it with `hybridci repair job {job_id[:8]} --reason "…"`' in shown.stderr
    repairs_of(api).failure = Unavailable("Temporal does not answer.")
    assert call(api, "job", "show", job_id).exit_code == 0
