"""`hybridci job show` of a job that failed ends with the last lines of the step that failed."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.cli_bench import Served, served
from tests.api.cli_jobs import call
from workflows.contracts.jobs import Step, StepResult
from workflows.contracts.statuses import JobStatus, Outcome


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def failed(api: Served, parts: list[tuple[str, Outcome, bytes]], status: JobStatus, **changes: Any) -> str:
    """A job whose steps printed this."""
    job_id = api.ended(status, b"".join(data for *_, data in parts), steps=[Step(name=n, run=n) for n, *_ in parts])
    results, at = list[StepResult](), 0
    for name, outcome, data in parts:
        results.append(StepResult(name=name, outcome=outcome, log_start=at, log_end=at + len(data)))
        at += len(data)
    (last,) = api.job(job_id).attempts
    api.change(job_id, attempts=[last.model_copy(update={"steps": results})], **changes)
    return job_id


def end_of(api: Served, job_id: str) -> str:
    shown = call(api, "job", "show", job_id)
    assert shown.exit_code == 0, shown.output
    return shown.stdout.partition("\nEnd of the log")[2].partition("\n\nNext")[0]


def test_the_last_lines_of_the_failed_step(api: Served) -> None:
    """Not of what runs after a failure, nor of what may fail; without what steers a terminal."""
    test = b"".join(b"line %d\n" % number for number in range(3000)) + b"\x1b[31mred\x1b[0m\x1b[2J\n"
    parts = [
        ("build", Outcome.SUCCEEDED, b"built\n"), ("test", Outcome.FAILED, test), ("tidy", Outcome.FAILED, b"tidied\n"),
    ]  # fmt: skip
    job_id = failed(api, parts, JobStatus.DEAD_LETTERED)
    shown = [f"  line {number}" for number in range(2981, 3000)]
    assert end_of(api, job_id).splitlines() == [
        " of step 'test' in attempt 1 (20 lines)", *shown, "  red", f"  Whole log: `hybridci logs {job_id[:8]}`",
    ]  # fmt: skip


def test_without_steps_the_end_of_the_log(api: Served) -> None:
    job_id = api.ended(JobStatus.ERROR, b"one\ntwo\n")
    assert end_of(api, job_id).splitlines()[:3] == [" in attempt 1 (2 lines)", "  one", "  two"]


def test_a_redriven_dead_letter_says_its_round(api: Served) -> None:
    job_id = failed(api, [("a", Outcome.FAILED, b"no\n")], JobStatus.FAILED, round=2, round_start=0)
    assert end_of(api, job_id).startswith(" of step 'a' in round 2, attempt 1 (1 line)")


def test_a_line_that_is_cut_at_its_beginning_is_left_out(api: Served) -> None:
    job_id = failed(api, [("a", Outcome.FAILED, b"x" * 20_000 + b"\nlast\n")], JobStatus.FAILED)
    assert end_of(api, job_id).splitlines()[1] == "  last"


def test_of_other_jobs_nothing(api: Served) -> None:
    ended = [(JobStatus.SUCCESS, b"well\n"), (JobStatus.FAILED, b""), (JobStatus.CANCELLED, b"stopped\n")]
    jobs = [api.ended(status, log) for status, log in ended]
    for job_id in [*jobs, api.ended(JobStatus.FAILED, b"gone\n", logs_removed_at=1_700_000_000_000)]:
        assert end_of(api, job_id) == ""
