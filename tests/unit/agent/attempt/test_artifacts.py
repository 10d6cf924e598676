"""What an attempt does with the files that its job keeps; log, artifacts and HTTP are real, the rest are fakes."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from agent.artifacts.files import find_artifacts
from agent.attempt.verdict import Interruption
from tests.control_plane_server import ControlPlaneServer
from tests.unit.agent.attempt.test_run import Bench, a_bench
from workflows.contracts.attempts import MAX_REPORTED_ARTIFACTS
from workflows.contracts.jobs import Step
from workflows.contracts.statuses import Outcome


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with ControlPlaneServer() as server, a_bench(server, tmp_path) as bench:
        yield bench


async def test_a_timeout_in_a_step_keeps_its_artifacts_and_the_steps_after_it_do_not_run(bench: Bench) -> None:
    attempt = bench.attempt(
        steps=[Step(name="slow", run="hang", continue_on_error=True), Step(name="next", run="0")],
        timeout_seconds=1,
        artifacts=["*.txt"],
    )
    result = await bench.run(attempt)
    assert (result.outcome, result.cause, result.exit_code) == (Outcome.TIMED_OUT, "job_timeout", 130)
    assert bench.executor.ran == ["slow"]
    assert [artifact.path for artifact in result.artifacts] == ["report.txt"]


async def test_refused_artifacts_fail_only_an_attempt_that_had_succeeded(bench: Bench) -> None:
    attempt = bench.attempt("0", artifacts=["*.txt"])
    bench.server.answer = 413
    result = await bench.run(attempt)
    assert (result.outcome, result.cause) == (Outcome.AGENT_ERROR, "artifact_upload")
    assert result.message is not None
    assert "report.txt" in result.message
    bench.results.clear()
    result = await bench.run(bench.attempt("4", artifacts=["*.txt"]))
    assert (result.outcome, result.exit_code, result.artifacts) == (Outcome.FAILED, 4, [])


async def test_artifacts_that_the_job_left_in_no_state_to_be_taken_are_not_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands have succeeded; running them again would leave the same."""
    monkeypatch.setattr("agent.artifacts.upload.find_artifacts", partial(find_artifacts, max_files=10))
    bench.checkout.files = {f"{number}.txt": "" for number in range(11)}
    result = await bench.run(bench.attempt("0", artifacts=["*.txt"]))
    assert (result.outcome, result.cause, result.retryable) == (Outcome.AGENT_ERROR, "artifact_upload", False)


@pytest.mark.parametrize(
    ("if_none", "outcome", "noted"),
    [("fail", Outcome.FAILED, True), ("warn", Outcome.SUCCEEDED, True), ("ignore", Outcome.SUCCEEDED, False)],
)
async def test_no_artifact_at_all_means_what_the_job_says(
    bench: Bench, if_none: str, outcome: Outcome, noted: bool
) -> None:
    attempt = bench.attempt("0", artifacts=["*.none"], artifact_rules={"if_none": if_none})
    result = await bench.run(attempt)
    assert (result.outcome, result.cause) == (outcome, "artifacts_missing" if if_none == "fail" else None)
    assert ("No file matches" in bench.server.log(attempt.job_id).data.decode()) is noted
    if if_none == "fail":
        assert not result.retryable
        failed = bench.attempt("4", artifacts=["*.none"], artifact_rules={"if_none": if_none})
        bench.results.clear()
        assert (await bench.run(failed)).exit_code == 4


async def test_small_files_go_in_bundles_and_large_ones_alone(bench: Bench) -> None:
    bench.checkout.files = {f"{number:04d}.log": f"{number}" for number in range(600)} | {"large.log": "x" * 200_000}
    attempt = bench.attempt("0", artifacts=["*.log"])
    result = await bench.run(attempt)
    assert result.outcome is Outcome.SUCCEEDED
    assert sorted(len(bundle) for bundle in bench.server.bundles) == [100, 500]
    kept = {path: artifact.body.decode() for (_, _, path), artifact in bench.server.artifacts.items()}
    assert kept == bench.checkout.files
    assert [path for path in bench.server.requests if "/artifacts/" in path] == [
        f"/api/queue/jobs/{attempt.job_id}/attempts/1/artifacts/large.log"
    ]


@pytest.mark.parametrize("takes_bundles", [True, False])
async def test_files_keep_their_mode_and_an_earlier_api_gets_one_by_one(bench: Bench, takes_bundles: bool) -> None:
    bench.server.takes_bundles = takes_bundles
    bench.checkout.files = {f"{number}.sh": f"{number}" for number in range(20)}
    bench.executor.during = lambda _: [(bench.executor.workspace / f"{n}.sh").chmod(0o755) for n in range(3)]
    result = await bench.run(bench.attempt("0", artifacts=["*.sh"]))
    assert (result.outcome, len(result.artifacts)) == (Outcome.SUCCEEDED, 20)
    assert [each.path for each in result.artifacts if each.executable] == ["0.sh", "1.sh", "2.sh"]
    kept = {path: artifact for (_, _, path), artifact in bench.server.artifacts.items()}
    assert sorted(path for path, artifact in kept.items() if artifact.executable) == ["0.sh", "1.sh", "2.sh"]
    assert len(kept) == 20
    assert len(bench.server.bundles) == int(takes_bundles)
    tried = [path for path in bench.server.requests if path.endswith("/artifact-bundles")]
    assert len(tried) == 1


async def test_cancelling_reaches_an_upload_that_waits_for_the_api(bench: Bench) -> None:
    bench.server.answer = 503
    result = await bench.run(bench.attempt("0", artifacts=["*.txt"]), lambda run: run.interrupt(Interruption.CANCELLED))
    assert result.outcome is Outcome.CANCELLED
    bench.server.answer = 204


async def test_a_result_names_the_first_artifacts_only(bench: Bench) -> None:
    """Thousands would not fit into it; the store lists all."""
    for number in range(MAX_REPORTED_ARTIFACTS + 5):
        bench.checkout.files[f"{number:04d}.log"] = "x"
    result = await bench.run(bench.attempt("0", artifacts=["*.log"]))
    assert [artifact.path for artifact in result.artifacts] == sorted(set(bench.checkout.files) - {"report.txt"})[
        :MAX_REPORTED_ARTIFACTS
    ]
    assert len(bench.server.artifacts) == MAX_REPORTED_ARTIFACTS + 5
