"""The phases of an attempt with fakes of our own checkout and executor; log, artifacts and HTTP are real."""

import asyncio
import errno
import logging
import os
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from agent.attempt.announcement import Announcement
from agent.attempt.host import Host
from agent.attempt.lease import Lease
from agent.attempt.places import SlotPlaces
from agent.attempt.run import AttemptRun
from agent.attempt.verdict import Interruption
from agent.control.api import Backoff, ControlPlane
from agent.git.checkout import Checkout, CheckoutError
from agent.logs.sender import LogShipper
from agent.safety.fences import Fences
from agent.safety.guardian import Guardian
from agent.steps.executors import Executor
from agent.steps.process import USUAL_ENDING, EndReason, OnOutput, ProcessEnd, StepEnding, StopSignal
from tests.control_plane_server import KEY, ControlPlaneServer
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.identity.people import GitPeople, GitPerson
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Step
from workflows.contracts.statuses import OnPartition, Outcome, QueueStatus
from workflows.contracts.workspace.checkout import AS_USUAL, CheckoutOptions


class FakeCheckout(Checkout):
    """Makes the folder; waits for ``go`` or raises ``error`` when told to."""

    def __init__(self) -> None:
        self.go: asyncio.Event | None = None
        self.error: Exception | None = None
        self.cancelled = False
        self.left: list[str] = []
        self.asked: list[tuple[str, CheckoutOptions]] = []
        self.files = {"report.txt": "fine\n"}
        self.git_people: GitPeople | CheckoutError | None = None

    async def into(
        self,
        workspace: Path,
        *,
        repo: str,
        sha: str,
        ref: str | None,
        timeout_seconds: float,
        write: Callable[[bytes], None],
        cookie: str | None = None,
        options: CheckoutOptions = AS_USUAL,
    ) -> None:
        write(b"checking out\n")
        self.asked.append((workspace.name, options))
        if self.error is not None:
            raise self.error
        if self.go is not None:
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        await asyncio.to_thread(_fill, workspace, self.files)

    async def people(self, workspace: Path, *, sha: str, timeout_seconds: float, cookie: str) -> GitPeople | None:
        if isinstance(self.git_people, CheckoutError):
            raise self.git_people
        return self.git_people

    def leave(self, workspace: Path) -> None:
        assert not workspace.exists()
        self.left.append(workspace.parent.name)


def _fill(workspace: Path, files: Mapping[str, str]) -> None:
    workspace.mkdir(exist_ok=True)
    for name, text in files.items():
        (workspace / name).write_text(text)


class FakeExecutor:
    """A step's command is its outcome: an exit code, ``hang`` until it is stopped, or ``raise <errno>``."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.during: Callable[[Path], object] = lambda folder: None
        self.workspace = Path()

    async def run(
        self,
        step: Step,
        *,
        workspace: Path,
        scripts: Path,
        env: Mapping[str, str],
        on_output: OnOutput,
        stop: StopSignal,
        timeout_seconds: float | None,
        cookie: str,
        on_started: Callable[[int], None] | None = None,
        ending: StepEnding = USUAL_ENDING,
    ) -> ProcessEnd:
        self.ran.append(step.name)
        on_output(f"ran {step.name}\n".encode())
        self.workspace = workspace
        self.during(scripts.parent)
        if step.run == "hang":
            await stop.wait()
            return ProcessEnd(130, None, EndReason.STOPPED, 1, 2)
        if step.run.startswith("raise "):
            number = int(step.run.split()[1])
            raise OSError(number, "No") if number else RuntimeError("a bug")
        return ProcessEnd(int(step.run), None, EndReason.EXITED, 1, 2)


class Bench:
    """A host of fakes and one attempt on it."""

    def __init__(self, server: ControlPlaneServer, host: Host, checkout: FakeCheckout, executor: FakeExecutor) -> None:
        self.server, self.host, self.checkout, self.executor = server, host, checkout, executor
        self.results: list[AttemptResult] = []

    def attempt(self, *commands: str, **fields: Any) -> AttemptInput:
        values: dict[str, Any] = {
            "job_id": new_job_id(), "attempt": 1, "job_type": "test", "pool": "default", "timeout_seconds": 60,
            "git_repo": "https://example.com/shop.git", "git_commit_sha": "a" * 40,
            "steps": [Step(name=f"s{number}", run=command) for number, command in enumerate(commands)],
        }  # fmt: skip
        return AttemptInput(**{**values, **fields})

    async def report(self, result: AttemptResult) -> None:
        self.results.append(result)

    async def run(
        self,
        attempt: AttemptInput,
        during: Callable[[AttemptRun], None] | None = None,
        *,
        once: Callable[[], bool] | None = None,
    ) -> AttemptResult:
        """Run the attempt; call ``during`` when ``once`` is so, or, without it, after half a second."""
        run = AttemptRun(self.host, attempt)
        running = asyncio.create_task(run.run(self.report))
        if during is not None:
            for _ in range(100 if once is None else 4000):
                if once is not None and once():
                    break
                await asyncio.sleep(0.005)
            during(run)
        await asyncio.wait_for(running, 60)
        [result] = self.results
        return result

    async def log(self, attempt: AttemptInput) -> str:
        await self.host.shipper.drain(5)
        return self.server.log(attempt.job_id).data.decode()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with ControlPlaneServer() as server, a_bench(server, tmp_path) as bench:
        yield bench


@asynccontextmanager
async def a_bench(
    server: ControlPlaneServer, folder: Path, *, executor: Executor | None = None
) -> AsyncGenerator[Bench]:
    checkout, fake = FakeCheckout(), FakeExecutor()
    async with ControlPlane(server.url, KEY, connections=8) as plane:
        host = Host(
            agent_id="agent-1",
            state_dir=folder,
            max_log_bytes=1 << 20,
            max_artifact_bytes=1 << 20,
            control_plane=plane,
            shipper=LogShipper(plane),
            checkout=checkout,
            executor=executor or fake,
            guardian=Guardian(),
            fences=Fences.load(folder),
            places=SlotPlaces.load(folder),
        )
        yield Bench(server, host, checkout, fake)
        await host.shipper.drain(5)
        await host.tidying.drain(5)
        await host.places.close()


async def test_phases_come_in_order_and_the_folder_is_removed(bench: Bench, tmp_path: Path) -> None:
    attempt = bench.attempt("0", "0", artifacts=["*.txt"])
    result = await bench.run(attempt)
    assert (result.outcome, result.exit_code) == (Outcome.SUCCEEDED, 0)
    assert [artifact.path for artifact in result.artifacts] == ["report.txt"]
    assert re.sub(r"in \d+\.\d s ", "in … s ", await bench.log(attempt)).splitlines() == [
        "--- Check out aaaaaaaaaaaa of https://example.com/shop.git",
        "checking out",
        "--- s0",
        "ran s0",
        "[hybridci] Step 's0' succeeded in … s (exit code 0).",
        "--- s1",
        "ran s1",
        "[hybridci] Step 's1' succeeded in … s (exit code 0).",
        "--- Upload artifacts",
        "[hybridci] 1 artifacts uploaded, 5 bytes.",
    ]
    await bench.host.tidying.drain(5)
    assert list((tmp_path / "attempts").iterdir()) == []


async def test_a_job_without_steps_succeeds(bench: Bench) -> None:
    result = await bench.run(bench.attempt())
    assert (result.outcome, result.exit_code, result.steps) == (Outcome.SUCCEEDED, 0, [])


async def test_a_deployment_is_told_whom_its_commit_names_however_its_job_ends(bench: Bench) -> None:
    ann = GitPerson(name="Ann", address="ann@example.com")
    bench.checkout.git_people = people = GitPeople(author=ann, committer=ann)
    assert (await bench.run(bench.attempt("0", deployment_id="d1"))).git_people == people
    bench.results.clear()
    failed = await bench.run(bench.attempt("1", deployment_id="d1"))
    assert (failed.outcome, failed.git_people) == (Outcome.FAILED, people)
    bench.results.clear()
    assert (await bench.run(bench.attempt("0"))).git_people is None, "nobody asks for it"


async def test_an_attempt_goes_on_when_git_does_not_tell_whom_the_commit_names(bench: Bench) -> None:
    bench.checkout.git_people = CheckoutError("checkout_failed", "git does not tell", retryable=True)
    attempt = bench.attempt("0", deployment_id="d1")
    result = await bench.run(attempt)
    assert (result.outcome, result.git_people) == (Outcome.SUCCEEDED, None)
    assert "[hybridci] git does not tell\n" in await bench.log(attempt)


async def test_an_interruption_during_the_checkout_cancels_it(bench: Bench) -> None:
    bench.checkout.go = asyncio.Event()
    attempt = bench.attempt("0")
    result = await bench.run(attempt, lambda run: run.interrupt(Interruption.CANCELLED))
    assert (result.outcome, result.started_at) == (Outcome.CANCELLED, None)
    assert bench.checkout.cancelled
    assert bench.executor.ran == []
    await bench.host.tidying.drain(5)
    assert bench.checkout.left == ["1"]
    assert (await bench.log(attempt)).endswith("checking out\n[hybridci] The attempt was cancelled.\n")


async def test_the_jobs_timeout_covers_the_checkout(bench: Bench) -> None:
    bench.checkout.go = asyncio.Event()
    result = await bench.run(bench.attempt("0", timeout_seconds=1))
    assert (result.outcome, result.cause) == (Outcome.TIMED_OUT, "job_timeout")


@pytest.mark.parametrize(
    ("why", "outcome", "cause"),
    [
        (Interruption.CANCELLED, Outcome.CANCELLED, "cancelled"),
        (Interruption.LEASE_LOST, Outcome.AGENT_LOST, "lease_lost"),
        (Interruption.FENCED, Outcome.AGENT_LOST, "lease_lost"),
        (Interruption.AGENT_STOPPED, Outcome.AGENT_LOST, "agent_stopped"),
    ],
)
async def test_interruptions_in_a_step(bench: Bench, why: Interruption, outcome: Outcome, cause: str) -> None:
    attempt = bench.attempt("hang", "0", artifacts=["*.txt"])
    result = await bench.run(attempt, lambda run: run.interrupt(why), once=lambda: bench.executor.ran == ["s0"])
    assert (result.outcome, result.cause, result.artifacts) == (outcome, cause, [])
    assert [step.outcome for step in result.steps] == [outcome, None]


async def test_a_failed_checkout_is_a_result(bench: Bench) -> None:
    bench.checkout.error = CheckoutError("repository_auth", "No entry.", retryable=False)
    attempt = bench.attempt("0")
    result = await bench.run(attempt)
    assert (result.outcome, result.cause, result.retryable) == (Outcome.CHECKOUT_FAILED, "repository_auth", False)
    assert (await bench.log(attempt)).endswith("[hybridci] No entry.\n")


@pytest.mark.parametrize(
    ("number", "cause", "word"),
    [(errno.ENOSPC, "disk_full", "full"), (errno.EACCES, "agent_files", "own files"), (0, "agent_failure", "error ")],
)
async def test_the_agents_own_trouble_is_said_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture, number: int, cause: str, word: str
) -> None:
    attempt = bench.attempt(f"raise {number}")
    result = await bench.run(attempt)
    assert (result.outcome, result.cause, result.retryable) == (Outcome.AGENT_ERROR, cause, True)
    assert result.message is not None
    assert word in result.message
    assert result.message in await bench.log(attempt)
    if cause == "agent_failure":
        quoted = result.message.split("error ")[1].rstrip(".")
        assert [record.levelno for record in caplog.records if quoted in record.getMessage()] == [logging.ERROR]


async def test_a_checkout_goes_where_the_job_says_or_nowhere(bench: Bench) -> None:
    await bench.run(bench.attempt("0", checkout={"path": "src", "tags": True}))
    assert bench.checkout.asked == [("src", CheckoutOptions(path="src", tags=True))]
    bench.results.clear()
    seen: list[list[Path]] = []
    bench.executor.during = lambda _: seen.append(list(bench.executor.workspace.iterdir()))
    attempt = bench.attempt("0", checkout={"none": True})
    assert (await bench.run(attempt)).outcome is Outcome.SUCCEEDED
    assert (len(bench.checkout.asked), seen) == (1, [[]])
    assert "No checkout" in bench.server.log(attempt.job_id).data.decode()


async def test_a_deployments_job_is_checked_out_whatever_it_says(bench: Bench) -> None:
    """Who wrote its commit is read from it."""
    await bench.run(bench.attempt("0", checkout={"none": True}, deployment_id="d-1"))
    assert len(bench.checkout.asked) == 1


async def test_the_same_attempt_may_come_back(bench: Bench) -> None:
    """A job moved between pools just as it was claimed; the first run's log has not left yet."""
    attempt = bench.attempt("0")
    bench.server.answer = 503
    await bench.run(attempt)
    bench.results.clear()
    bench.server.answer = 204
    assert (await bench.run(attempt)).outcome is Outcome.SUCCEEDED
    assert (await bench.log(attempt)).count("ran s0") == 1


def a_lease() -> Lease:
    async def renew() -> bool:
        return False

    return Lease(renew, seconds=30, on_partition=OnPartition.STOP, notify=lambda event, grace: None)


async def test_a_slow_checkout_is_announced_once(bench: Bench) -> None:
    """A second announcement would cost five events of the job's history."""
    bench.checkout.go = asyncio.Event()
    attempt = bench.attempt("hang")
    run = AttemptRun(bench.host, attempt)
    running = asyncio.create_task(run.run(bench.report))
    await asyncio.wait_for(Announcement(bench.host.control_plane, attempt, "agent-1", a_lease()).make(run.progress), 60)
    [announced] = bench.server.starts[attempt.job_id]
    assert (announced.phase, announced.started_at) == (QueueStatus.RUNNING, None)
    bench.checkout.go.set()
    await asyncio.wait_for(run.progress.running.wait(), 60)
    run.interrupt(Interruption.CANCELLED)
    await running
    assert bench.results[-1].started_at is not None
    assert len(bench.server.starts[attempt.job_id]) == 1


async def test_an_announcement_waits_for_the_api_and_takes_no_for_an_answer(bench: Bench) -> None:
    attempt = bench.attempt("0")
    run = AttemptRun(bench.host, attempt)
    run.progress.running.set()
    bench.server.answer = 503
    announcement = Announcement(bench.host.control_plane, attempt, "agent-1", a_lease())
    announcing = asyncio.create_task(announcement.make(run.progress))
    while len(bench.server.requests) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    bench.server.answer = 404
    await asyncio.wait_for(announcing, 60)
    assert bench.server.starts == {}


def test_backoff_grows_to_a_limit_and_speaks_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    backoff = Backoff("Sending", clock=lambda: now)
    waits: list[float] = []
    for _ in range(100):
        waits.append(backoff.failed(ConnectionError("no")))
        now += waits[-1]
    assert 0.1 <= waits[0] <= 0.2
    assert all(2.5 <= wait <= 5 for wait in waits[10:])
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert 1 + now // 65 <= len(warnings) <= 1 + now // 60, "at most once a minute, and no less than a wait later"
    assert "Sending failed: no; trying again in" in warnings[0].getMessage()


async def test_a_token_in_the_repositorys_url_is_not_in_the_log(bench: Bench) -> None:
    attempt = bench.attempt("0", git_repo="https://ghp_token@example.com/shop.git")
    await bench.run(attempt)
    log = await bench.log(attempt)
    assert "https://***@example.com/shop.git" in log
    assert "ghp_token" not in log


async def test_a_result_says_how_long_the_log_is_with_its_digest_and_where_each_step_is_in_it(bench: Bench) -> None:
    attempt = bench.attempt("0", "3", "0")
    result = await bench.run(attempt)
    log = (await bench.log(attempt)).encode()
    assert (result.log_bytes, result.log_sha256) == (len(log), sha256(log).hexdigest())
    assert result.log_cut_off is None
    places = [(step.log_start, step.log_end) for step in result.steps]
    assert [log[start:end] for start, end in places if start is not None] == [
        b"--- s0\nran s0\n",
        b"--- s1\nran s1\n",
    ]
    assert places[2] == (None, None), "it did not run"


async def test_an_attempt_whose_folder_was_removed_is_the_agents_fault(bench: Bench) -> None:
    bench.executor.during = shutil.rmtree
    attempt = bench.attempt("1")
    result = await bench.run(attempt)
    assert (result.outcome, result.cause, result.exit_code) == (Outcome.AGENT_ERROR, "agent_files", 1)
    assert "was removed while it ran" in (result.message or "")
    assert (await bench.log(attempt)).splitlines()[-2:] == ["ran s0", f"[hybridci] {result.message}"]
    assert result.log_sha256 == sha256((await bench.log(attempt)).encode()).hexdigest()


async def test_a_log_that_was_cut_off_is_said_in_the_result(bench: Bench) -> None:
    bench.executor.during = lambda folder: os.truncate(folder / "spool" / "log", 0)
    await bench.server.down()
    attempt = bench.attempt("0")
    running = asyncio.create_task(bench.run(attempt))
    result = await running
    await bench.server.up()
    log = await bench.log(attempt)
    assert result.log_cut_off is not None
    assert re.match(r"The log was cut off at byte \d+: \d+ bytes were lost", result.log_cut_off)
    assert log.splitlines()[-1] == f"[hybridci] {result.log_cut_off}"
    assert result.log_sha256 == sha256(log.encode()).hexdigest()
