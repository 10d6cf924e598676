"""The agent's process on a real Temporal server with real git and real commands; only the API is a stand-in."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from agent.log_spool import LOST_MARKER
from tests import servers
from tests.agent_process import AgentProcess, OneAttempt, Repository
from tests.control_plane_server import ControlPlaneServer
from workflows.client import DATA_CONVERTER
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.jobs import Step
from workflows.contracts.statuses import OnPartition, Outcome, QueueStatus

QUEUE = "one-attempt"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository") / "shop").create()


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[ControlPlaneServer]:
    async with ControlPlaneServer() as server:
        yield server


@pytest.fixture(scope="module")
async def starter(temporal_client: Client) -> AsyncIterator[Client]:
    """A client whose workflows run."""
    async with Worker(temporal_client, task_queue=QUEUE, workflows=[OneAttempt]):
        yield temporal_client


@pytest.fixture(scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, temporal_server: servers.Server, api: ControlPlaneServer
) -> AsyncIterator[AgentProcess]:
    """One agent for the tests that need nothing of their own."""
    agent = AgentProcess(tmp_path_factory.mktemp("agent") / "a", temporal_server.address, api.url, "shared").start()
    yield agent
    try:
        assert await asyncio.to_thread(agent.end) == 0, agent.log.read_text()
    finally:
        agent.ensure_dead()


@pytest.fixture
def lone(tmp_path: Path, temporal_server: servers.Server, api: ControlPlaneServer) -> Iterator[AgentProcess]:
    """An agent in a pool of its own, to be harmed."""
    agent = AgentProcess(tmp_path / "a", temporal_server.address, api.url, f"pool{time.monotonic_ns()}")
    yield agent
    agent.ensure_dead()


async def begin(client: Client, attempt: AttemptInput) -> WorkflowHandle[Any, AttemptResult]:
    return await client.start_workflow(OneAttempt.run, attempt, id=f"one-{attempt.job_id}", task_queue=QUEUE)


async def result_of(client: Client, attempt: AttemptInput) -> AttemptResult:
    return await asyncio.wait_for((await begin(client, attempt)).result(), 30)


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.02)


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
    short, long = repository.attempt("true", pool="shared"), repository.attempt("sleep 0.8", pool="shared")
    await asyncio.gather(result_of(starter, short), result_of(starter, long))
    assert short.job_id not in api.starts
    [announcement] = api.starts[long.job_id]
    assert announcement.phase is QueueStatus.RUNNING
    assert announcement.started_at is not None
    assert announcement.lease_expires_at is not None
    assert 28_000 < announcement.lease_expires_at - announcement.claimed_at <= 31_000


async def test_cancelling_reaches_a_running_step_within_two_seconds(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    attempt = repository.attempt("trap 'echo interrupted; exit 9' INT; sleep 60 & wait", "echo next", pool="shared")
    handle = await begin(starter, attempt)
    await eventually(lambda: b"--- s0" in api.log(attempt.job_id).data, "the step")
    cancelled_at = time.monotonic()
    await handle.cancel()
    result = await asyncio.wait_for(handle.result(), 10)
    assert time.monotonic() - cancelled_at < 3
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
    assert result.finished_at - result.claimed_at < 4000


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


async def test_secrets_without_a_provider_are_refused(
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
    await eventually(lambda: not list(attempts.iterdir()), "clean-up", 10)


async def test_the_api_may_be_away(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    attempt = repository.attempt(
        "for i in $(seq 20); do echo $i; sleep 0.1; done", pool="shared", artifacts=["hello.*"]
    )
    handle = await begin(starter, attempt)
    await eventually(lambda: b"\n3\n" in api.log(attempt.job_id).data, "the first lines")
    await api.down()
    await asyncio.sleep(2.5)
    await api.up()
    result = await asyncio.wait_for(handle.result(), 20)
    assert result.outcome is Outcome.SUCCEEDED
    assert [artifact.path for artifact in result.artifacts] == ["hello.txt"]
    await eventually(lambda: api.log(attempt.job_id).final, "the log")
    lines = b"".join(b"%d\n" % number for number in range(1, 21))
    assert b"--- s0\n" + lines in api.log(attempt.job_id).data


async def test_200_mb_of_output_do_not_fill_the_agent(
    agent: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    attempt = repository.attempt("head -c 200000000 /dev/zero | tr '\\0' x", pool="shared")
    handle = await begin(starter, attempt)
    log = api.log(attempt.job_id)
    peak = 0

    def done() -> bool:
        nonlocal peak
        peak = max(peak, agent.ps.memory_info().rss)
        return log.final

    await eventually(done, "the whole log", 60)
    assert (await handle.result()).log_bytes > 200_000_000
    assert sum(map(len, log.chunks.values())) > 200_000_000
    log.chunks.clear()
    assert peak < 150_000_000


async def test_a_killed_agents_processes_end_and_its_log_is_sent_by_the_next(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository, tmp_path: Path
) -> None:
    lone.start()
    attempt = repository.attempt(
        f"echo begun; echo $$ > {tmp_path}/pid; exec sleep 300", pool=lone.pool, lease_seconds=5
    )
    handle = await begin(starter, attempt)
    await eventually(lambda: b"begun" in api.log(attempt.job_id).data, "the step")
    pid = int((tmp_path / "pid").read_text())
    lone.end(signal.SIGKILL)
    lone.start()
    await eventually(lambda: not psutil.pid_exists(pid), "the end of what the dead agent ran", 10)
    await eventually(lambda: api.log(attempt.job_id).final, "the rest of the log")
    assert api.log(attempt.job_id).data.endswith(b"begun\n" + LOST_MARKER.encode() + b"\n")
    again = await result_of(starter, repository.attempt("true", pool=lone.pool))
    assert again.outcome is Outcome.SUCCEEDED
    await handle.terminate()
    assert await asyncio.to_thread(lone.end) == 0


async def test_sigterm_finishes_what_runs_and_takes_nothing_new(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    lone.start()
    attempt = repository.attempt("echo begun; sleep 2; echo ended", pool=lone.pool)
    handle = await begin(starter, attempt)
    await eventually(lambda: b"begun" in api.log(attempt.job_id).data, "the step")
    lone.send(signal.SIGTERM)
    lone.wait_for_log("Draining")
    late = await begin(starter, repository.attempt("true", pool=lone.pool))
    assert (await asyncio.wait_for(handle.result(), 20)).outcome is Outcome.SUCCEEDED
    assert await asyncio.to_thread(lone.running.wait, 20) == 0
    assert api.log(attempt.job_id).final
    assert api.log(attempt.job_id).data.endswith(b"begun\nended\n")
    lone.start()
    assert (await asyncio.wait_for(late.result(), 20)).outcome is Outcome.SUCCEEDED
    assert await asyncio.to_thread(lone.end) == 0


async def test_a_second_sigterm_ends_what_runs_and_sends_it_elsewhere(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    lone.start()
    attempt = repository.attempt("trap '' INT TERM; echo begun; while :; do sleep 0.1; done", pool=lone.pool)
    handle = await begin(starter, attempt)
    await eventually(lambda: b"begun" in api.log(attempt.job_id).data, "the step")
    lone.send(signal.SIGTERM)
    lone.wait_for_log("Draining")
    lone.send(signal.SIGTERM)
    result = await asyncio.wait_for(handle.result(), 10)
    assert (result.outcome, result.cause) == (Outcome.AGENT_LOST, "agent_stopped")
    assert await asyncio.to_thread(lone.running.wait, 20) == 0
    assert api.log(attempt.job_id).final


def test_two_agents_in_one_directory(agent: AgentProcess) -> None:
    agent.wait_for_log("works for pool")
    second = AgentProcess(agent.directory, agent.temporal, agent.url, agent.pool)
    second.start()
    assert second.running.wait(20) == 2
    assert agent.running.poll() is None


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"HYBRIDCI_API_KEY": ""}, "The agent has no key for the API"),
        ({"PATH": "/nowhere"}, "The agent needs git"),
        ({"HYBRIDCI_AGENT_DIR": "/proc/nowhere"}, "The agent cannot use its directory"),
    ],
)
def test_what_keeps_an_agent_from_working_is_one_sentence(
    lone: AgentProcess, environment: dict[str, str], sentence: str
) -> None:
    lone.environment = environment
    lone.start()
    assert lone.running.wait(20) == 2
    assert lone.log.read_text().startswith(sentence)
    assert len(lone.log.read_text().splitlines()) == 1


@asynccontextmanager
async def own_temporal(folder: Path) -> AsyncGenerator[tuple[servers.Server, Client]]:
    """A Temporal server to be harmed, and a client whose workflows run on it."""
    with servers.running(servers.temporal_server(folder)) as server:
        client = await _client(server.address)
        async with Worker(client, task_queue=QUEUE, workflows=[OneAttempt]):
            yield server, client


async def _client(address: str) -> Client:
    """A port that accepts is not yet a server that answers."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await Client.connect(address, data_converter=DATA_CONVERTER)
            except RuntimeError:
                await asyncio.sleep(0.1)


async def test_temporal_away(tmp_path: Path, api: ControlPlaneServer, repository: Repository) -> None:
    """One outage: what ends inside the lease is reported after it, what does not is dead before the lease's end."""
    async with own_temporal(tmp_path) as (server, client):
        agent = AgentProcess(tmp_path / "a", server.address, api.url, "away").start()
        try:
            beats, goes_on = tmp_path / "beats", tmp_path / "goes_on"
            stubborn = "trap '' INT TERM; echo begun; while :; do date +%s.%N >> {}; sleep 0.05; done"
            lease = 8
            short = repository.attempt("echo begun; sleep 3", pool="away")
            fenced = repository.attempt(stubborn.format(beats), pool="away", lease_seconds=lease)
            kept = repository.attempt(
                stubborn.format(goes_on), pool="away", lease_seconds=lease, on_partition=OnPartition.CONTINUE
            )
            handles = [await begin(client, attempt) for attempt in (short, fenced, kept)]
            for attempt in (short, fenced, kept):
                await eventually(lambda attempt=attempt: b"begun" in api.log(attempt.job_id).data, "the steps")
            server.kill()
            gone_at = time.time()
            await eventually(lambda: api.log(fenced.job_id).final, "the agent fencing itself", lease + 5)
            last_beat = float(beats.read_text().split()[-1])
            assert last_beat < gone_at + lease, "all dead before the lease ends"
            assert last_beat > gone_at + lease - 6, "but not much sooner: inside the lease nothing changes"
            await asyncio.sleep(max(0.0, gone_at + lease + 1 - time.time()))
            assert float(goes_on.read_text().split()[-1]) > gone_at + lease, "this one chose to go on"
            server.start()
            result = await asyncio.wait_for(handles[0].result(), 40)
            assert result.outcome is Outcome.SUCCEEDED
            await eventually(lambda: api.log(kept.job_id).final, "the end of the attempt that was given up", 20)
            again = await asyncio.wait_for((await begin(client, repository.attempt("true", pool="away"))).result(), 40)
            assert again.outcome is Outcome.SUCCEEDED
            assert await asyncio.to_thread(agent.end) == 0
        finally:
            agent.ensure_dead()


def test_ids_are_stable(lone: AgentProcess) -> None:
    for count in (1, 2):
        lone.start()
        servers.wait_until(lambda count=count: len(at_work(lone)) == count, seconds=20, what="the agent working")
        assert lone.end() == 0
    first, second = at_work(lone)
    assert first.split("Agent ")[1] == second.split("Agent ")[1]
    assert f"{lone.pool}-" in first


def at_work(agent: AgentProcess) -> list[str]:
    return [line for line in agent.log.read_text().splitlines() if "works for pool" in line]
