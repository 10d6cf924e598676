"""Where steps are in a log: as the agent said once the attempt has ended, by their marks while it runs."""

from typing import Any

from tests.api.conftest import Bench
from workflows.contracts.jobs import StepResult
from workflows.contracts.statuses import JobStatus

JOBS = "/api/dashboard/jobs"
STEPS = [{"name": "build", "run": "make"}, {"name": "test", "run": "make test"}, {"name": "pack", "run": "make pack"}]


async def _steps(bench: Bench, job_id: str, query: str = "") -> dict[str, Any]:
    answer = await bench.admin.get(f"{JOBS}/{job_id}/logs/steps{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _lines(found: dict[str, Any]) -> list[tuple[str, int, int | None]]:
    return [(step["name"], step["first_line"], step["last_line"]) for step in found["steps"]]


async def test_while_it_runs_steps_are_known_by_their_marks_in_their_order(bench: Bench) -> None:
    job_id = await bench.submit(steps=STEPS)
    await bench.start(job_id)
    assert _lines(await _steps(bench, job_id)) == []
    first = b"[hybridci] checkout\n--- build\none\n--- pack\ntwo\n--- te"
    await bench.log(job_id, 0, first)
    found = await _steps(bench, job_id)
    assert _lines(found) == [("build", 2, None)], "what a command writes is no mark unless it is the next step's"
    await bench.log(job_id, len(first), b"st\nthree\n--- pack\nfour")
    later = await _steps(bench, job_id, f"?cursor={found['next_cursor']}")
    assert _lines(later) == [("test", 6, 7), ("pack", 8, None)], "half a line is looked at again"
    assert _lines(await _steps(bench, job_id)) == [("build", 2, 5), ("test", 6, 7), ("pack", 8, None)]
    rest = await _steps(bench, job_id, f"?cursor={later['next_cursor']}")
    assert (rest["steps"], rest["next_cursor"]) == ([], later["next_cursor"])


async def test_once_it_has_ended_they_are_where_the_agent_said(bench: Bench) -> None:
    text = b"--- build\n--- test\nno end\n--- test\n--- pack is not\nfive\n[hybridci] it failed\n"
    job_id = await bench.submit(steps=STEPS)
    await bench.start(job_id)
    await bench.log(job_id, 0, text, final=True)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.FAILED, log_bytes=len(text))
    begin, end = text.index(b"--- test\n--- pack"), text.index(b"[hy")
    job = await bench.stores.jobs.get(job_id)
    assert job is not None
    steps = [
        StepResult(name="build", exit_code=0, log_start=0, log_end=begin - 1),
        # The agent ends the line before its mark, so its part begins with the line feed.
        StepResult(name="test", exit_code=2, started_at=5, finished_at=9, log_start=begin - 1, log_end=end),
        StepResult(name="pack"),
    ]
    await bench.job_client.put(job, attempts=[job.attempts[0].model_copy(update={"steps": steps})])
    found = await _steps(bench, job_id, "?attempt=1&cursor=1:0:1")
    assert _lines(found) == [("build", 1, 3), ("test", 4, 6)]
    assert found["next_cursor"] is None
    assert (found["steps"][1]["exit_code"], found["steps"][1]["finished_at"]) == (2, 9)


async def test_an_attempt_that_is_not_there_has_no_steps(bench: Bench) -> None:
    job_id = await bench.submit(steps=STEPS)
    assert (await bench.admin.get(f"{JOBS}/{job_id}/logs/steps?attempt=2")).status_code == 404
    assert (await bench.admin.get(f"{JOBS}/{job_id}/logs/steps?cursor=x")).status_code == 422
    assert (await _steps(bench, job_id))["steps"] == []


async def test_a_running_step_is_found_behind_those_that_do_not_run(bench: Bench) -> None:
    kinds = {"build": "success", "mend": "failure", "pack": "success", "tell": "always"}
    steps = [{"name": name, "run": "x", "when": when} for name, when in kinds.items()]
    job_id = await bench.submit(steps=steps)
    await bench.start(job_id)
    await bench.log(job_id, 0, b"--- build\n--- pack\n")
    well = await _steps(bench, job_id)
    assert [(step["number"], step["first_line"]) for step in well["steps"]] == [(1, 1), (3, 2)]
    other = await bench.submit(steps=steps)
    await bench.start(other)
    await bench.log(other, 0, b"--- build\n--- tell\n")
    broken = await _steps(bench, other)
    assert [(step["number"], step["first_line"]) for step in broken["steps"]] == [(1, 1), (4, 2)]
    rest = await _steps(bench, other, f"?cursor={broken['next_cursor']}")
    assert rest["steps"] == []


async def test_an_attempt_that_goes_on_behind_another_ones_steps_shows_its_own(bench: Bench) -> None:
    job_id = await bench.submit(steps=STEPS, resume="step")
    await bench.start(job_id)
    job = await bench.stores.jobs.get(job_id)
    assert job is not None
    second = job.attempts[0].model_copy(update={"number": 2})
    await bench.job_client.put(job, attempts=[job.attempts[0], second])
    await bench.log(job_id, 0, b"[hybridci] Resumed\n--- test\nx\n--- pack\n", attempt=2)
    found = await _steps(bench, job_id, "?attempt=2")
    assert [(step["number"], step["first_line"]) for step in found["steps"]] == [(2, 2), (3, 4)]
