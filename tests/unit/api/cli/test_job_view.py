"""What `hybridci job show` and `job list` say of steps, outputs, the summary and flaky jobs."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.cli.client.connection import ApiConnection
from api.cli.client.http import ApiClient
from api.cli.commands.tables import print_job, print_jobs
from workflows.contracts.jobs import Attempt, Job, Step, StepResult
from workflows.contracts.statuses import JobStatus, Outcome

LONG = "\n".join(f"line {number}" for number in range(40))


def a_job(**fields: Any) -> Job:
    steps = [Step(name=name, run=f"make {name}") for name in ("build", "test", "report")]
    said = [
        StepResult(
            name="build", outcome=Outcome.SUCCEEDED, exit_code=0, started_at=1000, finished_at=3500, resumed=True
        ),
        StepResult(name="test", outcome=Outcome.FAILED, exit_code=3, started_at=4000, finished_at=4200),
        StepResult(name="report"),
    ]  # fmt: skip
    last = Attempt(
        number=2, queued_at=1, claimed_at=2, finished_at=9, outcome=Outcome.FAILED, exit_code=3, steps=said,
        outputs={"VERSION": "7", "NOTES": LONG, "ODD": "a\x1b[2Jb"}, summary="# Tests\nall \x1b]0;x\x07well",
        resumed="Resumed behind step 1 of 3 on agent a, which had finished it in attempt 1.",
    )  # fmt: skip
    base: dict[str, Any] = {
        "job_id": "3f2a9c01-0000-4000-8000-000000000000", "job_type": "t", "git_repo": "file:///s", "created_at": 1,
        "git_commit_sha": "a" * 40, "git_author": "ann", "steps": steps, "status": JobStatus.SUCCESS, "flaky": True,
        "attempts": [Attempt(number=1, queued_at=0, outcome=Outcome.AGENT_LOST), last],
    }  # fmt: skip
    return Job(**{**base, **fields})


@pytest.fixture
def api() -> Iterator[ApiClient]:
    with ApiClient(ApiConnection(url="http://127.0.0.1:1", key="k")) as client:
        yield client


def test_a_job_tells_of_its_steps_and_what_they_said(api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    print_job(a_job(), api)
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert ["1", "build", "succeeded", "before", "0", "2.5", "s", "make", "build"] in rows
    assert ["2", "test", "failed", "3", "0.2", "s", "make", "test"] in rows
    assert ["3", "report", "did", "not", "run", "-", "-", "make", "report"] in rows
    assert "success (flaky: an earlier attempt failed)" in said
    assert "Attempt 2: Resumed behind step 1 of 3 on agent a" in said
    assert "  NOTES=line 0 … (39 more lines)\n" in said
    assert "  VERSION=7\n" in said
    assert "\nSummary\n  # Tests\n" in said
    assert "\x1b" not in said


def test_a_list_marks_a_flaky_job(capsys: pytest.CaptureFixture[str]) -> None:
    print_jobs([a_job().summary(), a_job(flaky=False).summary()])
    [_, flaky, usual] = capsys.readouterr().out.splitlines()
    assert "success (flaky)" in flaky
    assert "flaky" not in usual
