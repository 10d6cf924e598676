"""The command line while the store is out: what was accepted is said, and gone on with."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from activities.jobs.writers import JobCreator
from api.cli.client import accepted
from api.cli.commands import dlq, job, service
from api.cli.commands.deployments import deploy
from tests import servers
from tests.api.cli_bench import Served, environment, served
from workflows.contracts.errors import Unavailable
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus

APPS: dict[str, Typer] = {"job": job.app, "dlq": dlq.app, "deploy": deploy.app, "service": service.app}
SUBMIT = ("--repo", "https://example.com/shop.git", "--commit", "a" * 40, "--author", "ann", "--run", "pytest -q")


class NoWrites:
    async def create(self, write: JobWrite) -> None:
        raise Unavailable("TransactWriteItems was refused by AWS.")


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(accepted, "_PAUSES", (0.0,))
    with served() as server:
        yield server


def take_no_writes(out: Served) -> None:
    object.__setattr__(out.app.state.services, "creator", NoWrites())
    out.job_client.unanswered = out.job_client.releases.unanswered = True


def mend(out: Served) -> None:
    object.__setattr__(out.app.state.services, "creator", JobCreator(out.stores.jobs, out.stores.agents))
    out.job_client.unanswered = out.job_client.releases.unanswered = False


def call(api: Served, *arguments: str, text: str | None = None) -> Result:
    env: dict[str, str | None] = {**environment(api.url), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(APPS[arguments[0]], list(arguments[1:]), env=env, input=text)


def test_a_submitted_job_has_an_id_and_a_note(out: Served) -> None:
    take_no_writes(out)
    result = call(out, "job", "submit", *SUBMIT)
    assert result.exit_code == 0, result.output
    job_id = result.stdout.strip()
    assert job_id in out.job_client.started
    assert "its record follows" in result.stderr
    shown = call(out, "job", "show", job_id, "--json")
    assert json.loads(shown.stdout)["job_id"] == job_id


def test_wait_follows_what_was_accepted_to_its_end(out: Served) -> None:
    take_no_writes(out)
    results: list[Result] = []
    waiting = threading.Thread(target=lambda: results.append(call(out, "job", "submit", *SUBMIT, "--wait")))
    waiting.start()
    servers.wait_until(lambda: bool(out.job_client.started), seconds=60, what="the start")
    (job_id,) = out.job_client.started
    mend(out)
    out.run(out.job_client.created(job_id))
    out.begin(job_id)
    out.log(job_id, 0, b"all good\n", final=True)
    out.end(job_id, JobStatus.SUCCESS, size=9)
    waiting.join(20)
    assert (results[0].exit_code, "all good" in results[0].stdout) == (0, True), results[0].output
    assert "its record follows" in results[0].stderr


def test_commands_say_that_they_are_accepted(out: Served) -> None:
    job_id, parked = out.submit(), out.ended(JobStatus.DEAD_LETTERED)
    take_no_writes(out)
    for arguments in (("job", "cancel", job_id), ("dlq", "redrive", parked), ("dlq", "discard", parked)):
        result = call(out, *arguments, "--json")
        assert result.exit_code == 0, result.output
        record: dict[str, Any] = json.loads(result.stdout)
        assert (record["job_id"], "its record follows" in result.stderr) == (arguments[2], True)


def test_a_service_that_is_not_stored_yet_was_accepted_all_the_same(out: Served) -> None:
    take_no_writes(out)
    spec = {"git_repo": "https://example.com/a.git", "environments": [{"name": "production", "external": True}]}
    result = call(out, "service", "apply", "--name", "shop", "-F", "-", text=json.dumps(spec))
    assert result.exit_code == 1
    assert "Accepted: register service shop" in result.stderr
    assert "cannot be shown yet" in result.stderr
