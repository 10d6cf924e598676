"""A lost agent's job goes on behind its last finished step: real agents that are killed with -9, real git and commands.

What ran is counted in files outside of the workspace.
"""

import asyncio
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.agent.agent_process import AgentProcess, OneAttempt, Repository
from tests.agent.helpers import QUEUE, eventually
from tests.control_plane_server import ControlPlaneServer
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.statuses import Outcome
from workflows.contracts.workspace.resume import LostAttempts, ResumeAt


class Work:
    """A job of four steps, of which the third waits for ``go``; each notes that it ran, in what folder and HOME."""

    def __init__(self, repository: Repository, agent: AgentProcess, folder: Path) -> None:
        self.notes, self.go = folder / "notes", folder / "go"
        note = f'echo "$HYBRIDCI_ATTEMPT_NUMBER {{}} $PWD" >> {self.notes}; '
        wait = f"until [ -e {self.go} ]; do sleep 0.05; done"
        self.attempt = repository.attempt(
            note.format("a") + 'echo built > out; echo kept > "$HOME/tool"; echo VERSION=7 >> "$HYBRIDCI_OUTPUT"',
            note.format("b") + 'chmod +x hello.txt; echo "# two" >> "$HYBRIDCI_SUMMARY"',
            note.format("c") + wait,
            note.format("d") + 'test "$(cat out "$HOME/tool" && echo $HYBRIDCI_OUTPUT_VERSION)" = "built\nkept\n7"; '
            'git rev-parse HEAD; git status --porcelain; echo "# four" >> "$HYBRIDCI_SUMMARY"',
            pool=agent.pool, resume=ResumeAt.STEP,
        )  # fmt: skip

    def ran(self) -> list[str]:
        return [line.rpartition(" ")[0] for line in self.notes.read_text().splitlines()] if self.notes.exists() else []

    def folders(self) -> set[str]:
        return {line.rpartition(" ")[2] for line in self.notes.read_text().splitlines()}

    def again(self, number: int, *lost: int, agent_id: str, **fields: Any) -> AttemptInput:
        update = {"attempt": number, "lost": LostAttempts(agent_id=agent_id, numbers=list(lost)), **fields}
        return self.attempt.model_copy(update=update)


async def begin(client: Client, attempt: AttemptInput) -> asyncio.Task[AttemptResult]:
    identity = f"one-{attempt.job_id}-{attempt.attempt}"
    handle = await client.start_workflow(OneAttempt.run, attempt, id=identity, task_queue=QUEUE)
    return asyncio.create_task(asyncio.wait_for(handle.result(), 120))


def its_id(agent: AgentProcess) -> str:
    [line] = [line for line in agent.log.read_text().splitlines() if "works for pool" in line][-1:]
    return line.split(" works for pool")[0].rpartition("Agent ")[2]


async def kill(agent: AgentProcess) -> None:
    await asyncio.to_thread(agent.end, signal.SIGKILL)


async def lose(client: Client, agent: AgentProcess, work: Work, attempt: AttemptInput, until: str) -> None:
    """Run it until this note is there, and kill the agent."""
    running = await begin(client, attempt)
    await eventually(lambda: until in work.ran(), "the step")
    await kill(agent)
    running.cancel()


@pytest.fixture
def work(repository: Repository, lone: AgentProcess, tmp_path: Path) -> Iterator[Work]:
    work = Work(repository, lone, tmp_path)
    yield work
    work.go.touch()


async def test_two_kills_and_no_finished_step_runs_again(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, work: Work
) -> None:
    lone.start()
    await lose(starter, lone, work, work.attempt, "1 c")
    agent_id = its_id(lone)
    lone.start()
    await lose(starter, lone, work, work.again(2, 1, agent_id=agent_id), "2 c")
    work.go.touch()
    lone.start()
    result = await (await begin(starter, work.again(3, 1, 2, agent_id=agent_id)))
    assert result.outcome is Outcome.SUCCEEDED, result
    assert work.ran() == ["1 a", "1 b", "1 c", "2 c", "3 c", "3 d"]
    assert len(work.folders()) == 1
    assert [(step.outcome, step.resumed) for step in result.steps] == [
        (Outcome.SUCCEEDED, True), (Outcome.SUCCEEDED, True), (Outcome.SUCCEEDED, False), (Outcome.SUCCEEDED, False),
    ]  # fmt: skip
    assert result.steps[0].started_at is not None
    assert result.steps[0].started_at < result.claimed_at
    assert result.resumed == f"Resumed behind step 2 of 4 on agent {agent_id}, which had finished it in attempt 1."
    assert (result.outputs, result.summary) == ({"VERSION": "7"}, "# two\n# four\n")
    await eventually(lambda: api.log(work.attempt.job_id, 3).final, "the log")
    log = api.log(work.attempt.job_id, 3).data.decode()
    assert str(result.resumed) in log
    assert "[hybridci] Step 2, 's1', is not run again.\n--- s2\n" in log
    await eventually(lambda: not list((lone.directory / "resume").iterdir()), "no state is left")
    await eventually(lambda: not list((lone.directory / "slots").iterdir()), "no workspace is left")


async def test_another_agent_begins_at_the_beginning_and_says_so(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, work: Work, tmp_path: Path
) -> None:
    lone.start()
    await lose(starter, lone, work, work.attempt, "1 c")
    work.go.touch()
    other = AgentProcess(tmp_path / "other", lone.temporal, lone.url, lone.pool).start()
    try:
        result = await (await begin(starter, work.again(2, 1, agent_id=its_id(lone))))
    finally:
        await asyncio.to_thread(other.end)
        other.ensure_dead()
    assert result.outcome is Outcome.SUCCEEDED, result
    assert work.ran()[3:] == ["2 a", "2 b", "2 c", "2 d"]
    assert result.resumed == f"From the beginning: agent {its_id(lone)} had begun it and did not take it again."
    assert str(result.resumed) in api.log(work.attempt.job_id, 2).data.decode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("environment", "the job has been changed since then"),
        ("not lost", "attempt 1, of which this agent has the workspace, was not the last that was lost"),
        ("workspace", "nothing is kept of what had been done"),
        ("file", "nothing is kept of what had been done"),
    ],
)
async def test_what_does_not_fit_any_more_is_not_gone_on_with(
    change: str, why: str, lone: AgentProcess, starter: Client, work: Work
) -> None:
    lone.start()
    await lose(starter, lone, work, work.attempt, "1 c")
    work.go.touch()
    lost, fields = 1, dict[str, Any]()
    if change == "environment":
        fields = {"env": {"FLAG": "2"}}
    elif change == "not lost":
        lost = 2
    elif change == "workspace":
        shutil.rmtree(lone.directory / "slots" / "1")
    else:
        [file] = (lone.directory / "resume").iterdir()
        file.write_bytes(file.read_bytes()[:40])
        file.with_name(f".{file.name}.abc").write_bytes(b"{")
    agent_id = its_id(lone)
    lone.start()
    result = await (await begin(starter, work.again(lost + 1, lost, agent_id=agent_id, **fields)))
    assert result.outcome is Outcome.SUCCEEDED, result
    assert [line[2:] for line in work.ran()[3:]] == ["a", "b", "c", "d"]
    assert result.resumed == f"From the beginning: {why}."
    await eventually(lambda: not list((lone.directory / "resume").iterdir()), "no state is left")


async def test_an_agent_that_is_told_to_end_at_once_keeps_it_too(
    lone: AgentProcess, starter: Client, work: Work
) -> None:
    lone.start()
    running = await begin(starter, work.attempt)
    await eventually(lambda: "1 c" in work.ran(), "the step")
    lone.send(signal.SIGTERM)
    await asyncio.to_thread(lone.wait_for_log, "Draining")
    await asyncio.to_thread(lone.end)
    assert (await running).cause == "agent_stopped"
    work.go.touch()
    agent_id = its_id(lone)
    lone.start()
    result = await (await begin(starter, work.again(2, 1, agent_id=agent_id)))
    assert (result.outcome, work.ran()) == (Outcome.SUCCEEDED, ["1 a", "1 b", "1 c", "2 c", "2 d"])


@pytest.fixture
def work_of_nobody(repository: Repository, lone: AgentProcess) -> Iterator[Work]:
    """Steps run as another user, in folders that this user can get to."""
    folder = Path(tempfile.mkdtemp(prefix="hybridci-resume-", dir="/var/tmp"))
    folder.chmod(0o711)
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    lone.directory = folder / "a"
    lone.environment["HYBRIDCI_AGENT_JOB_USER"] = "nobody"
    yield Work(repository, lone, shared)
    lone.ensure_dead()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may run steps as another user")
async def test_no_other_job_gets_to_what_is_kept(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository, work_of_nobody: Work
) -> None:
    """It knows the paths, and runs as the user to whom all that is kept belongs."""
    work = work_of_nobody
    lone.start()
    await lose(starter, lone, work, work.attempt, "1 c")
    agent_id = its_id(lone)
    [workspace] = work.folders()
    short = Path((lone.directory / "short-folder").read_text()) / "1"
    assert (short / "home" / "tool").read_text() == "kept\n"
    kept = (lone.directory / "slots" / "1", short)
    await eventually(lambda: [stat.S_IMODE(each.stat().st_mode) for each in kept] == [0o700] * 2, "its guardian")
    lone.start()
    reach = (
        f"cat {workspace}/out", f"cat {short}/home/tool", f"ls {short}/tmp", f"echo >> {workspace}/out",
        f"touch {short}/home/x", f"cd {workspace}", f"chmod 777 {short}", f"chmod 777 {workspace}/..",
        f"mv {workspace}/.. {work.notes.parent}/x",
    )  # fmt: skip
    tries = "; ".join(
        f"if ( {command} ) >/dev/null 2>&1; then echo GOT $(({n})); fi" for n, command in enumerate(reach)
    )
    other = repository.attempt(f"id -un; {tries}", pool=lone.pool)
    assert (await (await begin(starter, other))).outcome is Outcome.SUCCEEDED
    await eventually(lambda: api.log(other.job_id).final, "the log")
    said = api.log(other.job_id).data.decode()
    assert "\nnobody\n" in said
    assert [line for line in said.splitlines() if line.startswith("GOT ")] == []
    work.go.touch()
    result = await (await begin(starter, work.again(2, 1, agent_id=agent_id)))
    assert (result.outcome, work.ran()) == (Outcome.SUCCEEDED, ["1 a", "1 b", "1 c", "2 c", "2 d"]), result


async def test_nothing_is_kept_behind_a_red_command_or_for_whom_does_not_ask(
    lone: AgentProcess, starter: Client, repository: Repository
) -> None:
    lone.start()
    red = repository.attempt("true", "exit 3", pool=lone.pool, resume=ResumeAt.STEP)
    assert (await (await begin(starter, red))).outcome is Outcome.FAILED
    assert list((lone.directory / "resume").iterdir()) == []
    await eventually(lambda: not list((lone.directory / "slots").iterdir()), "no workspace is left")
    usual = repository.attempt("true", f'test -z "$(ls {lone.directory}/resume)"', pool=lone.pool)
    assert (await (await begin(starter, usual))).outcome is Outcome.SUCCEEDED
