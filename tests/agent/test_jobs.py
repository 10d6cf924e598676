"""Jobs on the agent's process, with a real Temporal server, real git and real commands; only the API is a stand-in."""

import asyncio
import time
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.agent.agent_process import AgentProcess, Repository
from tests.agent.helpers import SECRETS, begin, eventually, result_of
from tests.control_plane_server import ControlPlaneServer
from workflows.contracts.jobs import Step
from workflows.contracts.statuses import Outcome, QueueStatus


async def test_a_job_runs_and_its_log_and_result_arrive(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    attempt = repository.attempt("cat hello.txt; printf '\\377\\0'", "echo $CI $WHO", pool="shared", env={"WHO": "ann"})
    result = await result_of(starter, attempt)
    assert result.outcome is Outcome.SUCCEEDED, result
    assert (result.exit_code, result.cause) == (0, None)
    assert [(step.name, step.outcome, step.exit_code) for step in result.steps] == [
        ("s0", Outcome.SUCCEEDED, 0),
        ("s1", Outcome.SUCCEEDED, 0),
    ]
    assert result.started_at is not None
    assert result.claimed_at <= result.started_at <= result.finished_at
    assert result.agent_id.startswith("shared-")
    log = api.log(attempt.job_id)
    await eventually(lambda: log.final, "the log")
    assert b"--- s0\nhello\n\xff\0" in log.data
    assert b"--- s1\ntrue ann\n" in log.data
    assert len(log.data) == result.log_bytes


async def test_a_failing_step_ends_the_attempt_but_its_artifacts_are_kept(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    steps = [
        Step(name="lint", run="exit 3", continue_on_error=True),
        Step(name="unit", run="mkdir out; echo report > out/report.txt; exit 7"),
        Step(name="never", run="true"),
    ]
    attempt = repository.attempt(pool="shared", steps=steps, artifacts=["out/*"])
    result = await result_of(starter, attempt)
    assert (result.outcome, result.exit_code, result.cause) == (Outcome.FAILED, 7, "exit_code")
    assert result.message == "Step 'unit' ended with exit code 7."
    assert [step.exit_code for step in result.steps] == [3, 7, None]
    assert [artifact.path for artifact in result.artifacts] == ["out/report.txt"]
    stored = api.artifacts[attempt.job_id, 1, "out/report.txt"]
    assert (stored.body, stored.sha256) == (b"report\n", result.artifacts[0].sha256)


async def test_death_by_signal_is_its_own_cause(agent: AgentProcess, starter: Client, repository: Repository) -> None:
    result = await result_of(starter, repository.attempt("kill -9 $$", pool="shared"))
    assert (result.outcome, result.exit_code, result.cause) == (Outcome.FAILED, 137, "signal")


async def test_a_long_job_is_announced_and_a_short_one_is_not(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    short, long = repository.attempt("true", pool="shared"), repository.attempt("sleep 2", pool="shared")
    soon, later = await result_of(starter, short), await result_of(starter, long)
    if short.job_id in api.starts:  # on a machine where a trivial one is not short
        assert soon.finished_at - soon.claimed_at >= 200
    [announcement] = api.starts[long.job_id]
    assert announcement.phase is QueueStatus.RUNNING
    if announcement.started_at is None:  # its checkout was waited for long enough
        assert later.started_at is not None
        assert later.started_at - later.claimed_at >= 600
    assert announcement.lease_expires_at is not None
    assert announcement.claimed_at + 28_000 < announcement.lease_expires_at < later.finished_at + 30_000


async def test_cancelling_reaches_a_running_step_within_two_seconds(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    attempt = repository.attempt(
        f"trap 'date +%s.%N > {heard}; echo interrupted; exit 9' INT; echo begun; sleep 60 & wait", "echo next",
        pool="shared",
    )  # fmt: skip
    handle = await begin(starter, attempt)
    await eventually(lambda: b"begun\n" in api.log(attempt.job_id).data, "the step")
    cancelled_at = time.time()
    await handle.cancel()
    result = await asyncio.wait_for(handle.result(), 60)
    assert float(heard.read_text()) - cancelled_at < 3
    assert (result.outcome, result.cause) == (Outcome.CANCELLED, "cancelled")
    assert [step.outcome for step in result.steps] == [Outcome.CANCELLED, None]
    await eventually(lambda: api.log(attempt.job_id).final, "the log")
    assert b"[hybridci] The attempt was cancelled.\ninterrupted\n" in api.log(attempt.job_id).data


@pytest.mark.parametrize(("of", "cause"), [("job", "job_timeout"), ("step", "step_timeout")])
async def test_time_limits(agent: AgentProcess, starter: Client, repository: Repository, of: str, cause: str) -> None:
    step = Step(name="slow", run="exec sleep 60", timeout_seconds=1 if of == "step" else None)
    attempt = repository.attempt(pool="shared", steps=[step], timeout_seconds=1 if of == "job" else 60)
    result = await result_of(starter, attempt)
    assert (result.outcome, result.cause) == (Outcome.TIMED_OUT, cause)
    assert result.message is not None
    assert "1 s" in result.message
    began = result.started_at if of == "step" else result.claimed_at  # a checkout has its own time
    assert began is not None
    assert result.finished_at - began < 4000


async def test_an_unknown_commit_is_a_checkout_failure(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    attempt = repository.attempt("true", pool="shared", git_commit_sha="0" * 39 + "1")
    result = await result_of(starter, attempt)
    assert (result.outcome, result.cause) == (Outcome.CHECKOUT_FAILED, "unknown_commit")
    assert (result.retryable, result.started_at, result.steps) == (False, None, [])
    await eventually(lambda: api.log(attempt.job_id).final, "the log")
    assert result.message is not None
    assert result.message.encode() in api.log(attempt.job_id).data


async def test_a_commit_that_has_to_be_on_a_branch_is_looked_for(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    told = 'test "$HYBRIDCI_ON_REF" = main'
    assert (await result_of(starter, repository.attempt(told, pool="shared", on_ref="main"))).exit_code == 0
    assert (await result_of(starter, repository.attempt(told, pool="shared"))).exit_code == 1
    attempt = repository.attempt(told, pool="shared", on_ref="release")
    result = await result_of(starter, attempt)
    assert (result.outcome, result.cause) == (Outcome.CHECKOUT_FAILED, "commit_not_on_ref")
    assert (result.retryable, result.started_at, result.steps) == (False, None, [])
    assert result.message is not None
    assert "has no branch release" in result.message


async def test_secrets_the_agent_does_not_know_are_refused(
    agent: AgentProcess, starter: Client, repository: Repository
) -> None:
    result = await result_of(starter, repository.attempt("true", pool="shared", secrets=["DB_URL"]))
    assert (result.outcome, result.cause, result.retryable) == (Outcome.AGENT_ERROR, "secret_unavailable", False)


async def test_an_attempt_that_wants_another_agent_is_declined_without_a_log(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    first = await result_of(starter, repository.attempt("true", pool="shared"))
    attempt = repository.attempt("true", pool="shared", avoid_agent=first.agent_id)
    assert (await result_of(starter, attempt)).outcome is Outcome.DECLINED
    assert (attempt.job_id, 1) not in api.logs


async def test_workspaces_are_removed_after_the_report(
    agent: AgentProcess, starter: Client, repository: Repository
) -> None:
    await result_of(starter, repository.attempt("mkdir -m 0500 locked", "touch big", pool="shared"))
    attempts = agent.directory / "attempts"
    await eventually(lambda: not list(attempts.iterdir()), "clean-up")


async def test_the_api_may_be_away(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    attempt = repository.attempt(
        f"for i in $(seq 20); do echo $i; sleep 0.02; [ $i != 5 ] || until [ -e {release} ]; do sleep 0.02; done; done",
        pool="shared",
        artifacts=["hello.*"],
    )
    handle = await begin(starter, attempt)
    await eventually(lambda: b"\n3\n" in api.log(attempt.job_id).data, "the first lines")
    await api.down()
    release.touch()
    job = f"of job {attempt.job_id}"
    for failure in (f"Sending the log {job}, attempt 1 failed", f"Uploading hello.txt {job} failed"):
        await asyncio.to_thread(agent.wait_for_log, failure)
    await api.up()
    result = await asyncio.wait_for(handle.result(), 60)
    assert result.outcome is Outcome.SUCCEEDED
    assert [artifact.path for artifact in result.artifacts] == ["hello.txt"]
    await eventually(lambda: api.log(attempt.job_id).final, "the log")
    lines = b"".join(b"%d\n" % number for number in range(1, 21))
    assert b"--- s0\n" + lines in api.log(attempt.job_id).data


async def test_200_mb_of_output_with_20_secrets_do_not_fill_the_agent(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    command = "head -c 200000000 /dev/zero | tr '\\0' x"
    attempt = repository.attempt(command, pool="shared", secrets=list(SECRETS), timeout_seconds=300)
    handle = await begin(starter, attempt)
    log = api.log(attempt.job_id)
    peak = 0

    def done() -> bool:
        nonlocal peak
        peak = max(peak, agent.ps.memory_info().rss)
        return log.final

    await eventually(done, "the whole log", 240)
    assert (await handle.result()).log_bytes > 200_000_000
    assert sum(map(len, log.chunks.values())) > 200_000_000
    log.chunks.clear()
    assert peak < 150_000_000
