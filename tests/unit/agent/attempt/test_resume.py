"""What is kept for a job that may resume, and what is not: limits, secrets, what runs in the background, full disks."""

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.attempt.places import SlotPlaces
from agent.attempt.resume import ResumeLimits, ResumeStore
from agent.attempt.run import AttemptRun
from agent.attempt.verdict import Interruption
from agent.secrets import Unlocked
from agent.secrets.redact import Patterns
from agent.steps.executors.shell import ShellExecutor
from tests.control_plane_server import ControlPlaneServer
from tests.unit.agent.attempt.test_run import Bench, FakeCheckout, a_bench
from tests.unit.agent.attempt.test_sequence import job
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.identity.people import GitPeople, GitPerson
from workflows.contracts.statuses import Outcome
from workflows.contracts.workspace.resume import LostAttempts, ResumeAt


class KeptCheckout(FakeCheckout):
    """Whose workspaces may be left as they are."""

    def leave(self, workspace: Path) -> None:
        self.left.append(workspace.parent.name)

    async def again(self, workspace: Path, **_: object) -> None:
        assert (workspace / "report.txt").exists()


def a_store(folder: Path, limits: ResumeLimits) -> ResumeStore:
    return ResumeStore.load(folder, limits, lambda keep: SlotPlaces.load(folder, keep=keep))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with ControlPlaneServer() as server, a_bench(server, tmp_path, executor=ShellExecutor()) as bench:
        store = ResumeStore(tmp_path / "resume", bench.host.places, ResumeLimits(3600, 1 << 30))
        bench.host = replace(bench.host, resume=store, checkout=KeptCheckout())
        yield bench


def store_of(bench: Bench) -> ResumeStore:
    assert bench.host.resume is not None
    return bench.host.resume


def a_job(*steps: dict[str, Any], **fields: Any) -> AttemptInput:
    return job(*steps, resume=ResumeAt.STEP, **fields)


async def lose(bench: Bench, attempt: AttemptInput, mark: Path) -> None:
    """Take it from this agent as soon as the file is there."""
    result = await bench.run(
        attempt, lambda run: run.interrupt(Interruption.LEASE_LOST, grace_seconds=0), once=mark.exists
    )
    assert result.outcome is Outcome.AGENT_LOST
    bench.results.clear()


async def test_an_agent_that_lives_on_keeps_it_and_goes_on(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    attempt = a_job(
        {"run": f"echo one >> {tmp_path}/notes"}, {"run": f"touch {mark}; [ -e {tmp_path}/go ] || sleep 99"}
    )
    await lose(bench, attempt, mark)
    assert list(store_of(bench).waiting) == [attempt.job_id]
    (tmp_path / "go").touch()
    lost = LostAttempts(agent_id="agent-1", numbers=[1])
    result = await bench.run(attempt.model_copy(update={"attempt": 2, "lost": lost}))
    assert (result.outcome, [step.resumed for step in result.steps]) == (Outcome.SUCCEEDED, [True, False])
    assert (tmp_path / "notes").read_text() == "one\n"
    assert store_of(bench).waiting == {}
    await bench.host.tidying.drain(5)
    assert list((tmp_path / "resume").iterdir()) == list((tmp_path / "slots").iterdir()) == []


async def test_a_deployments_job_goes_on_and_says_again_whom_its_commit_names(bench: Bench, tmp_path: Path) -> None:
    """As it was read before the first step: steps can have changed what git says in the workspace."""
    mark, ann, eve = (
        tmp_path / "mark",
        GitPerson(name="Ann", address="ann@x.org"),
        GitPerson(name="E", address="e@x.org"),
    )
    checkout = bench.host.checkout
    assert isinstance(checkout, KeptCheckout)
    checkout.git_people = people = GitPeople(author=ann, committer=ann)
    step = {"run": f"touch {mark}; [ -e {tmp_path}/go ] || sleep 99"}
    attempt = a_job({"run": f"echo one >> {tmp_path}/notes"}, step, deployment_id="d1")
    await lose(bench, attempt, mark)
    (tmp_path / "go").touch()
    checkout.git_people = GitPeople(author=eve, committer=eve)
    lost = LostAttempts(agent_id="agent-1", numbers=[1])
    result = await bench.run(attempt.model_copy(update={"attempt": 2, "lost": lost}))
    assert (result.outcome, [step.resumed for step in result.steps]) == (Outcome.SUCCEEDED, [True, False])
    assert (result.git_people, (tmp_path / "notes").read_text()) == (people, "one\n")


@pytest.mark.parametrize("why", [Interruption.CANCELLED, Interruption.JOB_TIMEOUT])
async def test_what_was_not_lost_is_not_kept(why: Interruption, bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    attempt = a_job({"run": "true"}, {"run": f"touch {mark}; sleep 99"})
    await bench.run(attempt, lambda run: run.interrupt(why, grace_seconds=0), once=mark.exists)
    assert (store_of(bench).waiting, list((tmp_path / "resume").iterdir())) == ({}, [])


async def test_what_runs_in_the_background_does_not_outlive_the_agent(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    steps = {"run": "true"}, {"run": "sleep 60 &", "background": "keep"}, {"run": f"touch {mark}; sleep 99"}
    attempt = a_job(*steps)
    await lose(bench, attempt, mark)
    assert (store_of(bench).waiting, list((tmp_path / "resume").iterdir())) == ({}, [])
    said = "the job begins at its beginning: step 's1' keeps processes in the background"
    assert (await bench.log(attempt)).count(said) == 1


async def test_no_secret_is_written_down(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cr3t-4711-of-the-test"

    async def unlock(attempt: AttemptInput, *_: object) -> Unlocked:
        return Unlocked(attempt, patterns=Patterns({secret.encode()}))

    monkeypatch.setattr(bench.host.vault, "unlock", unlock)
    mark = tmp_path / "mark"
    attempt = a_job(
        {"run": "true"}, {"run": f'echo "A=({secret})" >> "$HYBRIDCI_OUTPUT"'}, {"run": f"touch {mark}; sleep 99"}
    )
    await lose(bench, attempt, mark)
    assert (store_of(bench).waiting, list((tmp_path / "resume").iterdir())) == ({}, [])
    assert "an output or the summary holds a secret" in await bench.log(attempt)


async def test_a_full_disk_costs_the_resume_and_not_the_job(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("agent.attempt.resume.replace_file", full)
    attempt = a_job({"run": "true"}, {"run": "true"})
    assert (await bench.run(attempt)).outcome is Outcome.SUCCEEDED
    assert (await bench.log(attempt)).count("the agent could not write it down (No space left on device)") == 1


@pytest.mark.parametrize("limits", [ResumeLimits(0.05, 1 << 30), ResumeLimits(3600, 1000)])
async def test_what_is_old_or_too_much_goes(limits: ResumeLimits, bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    await lose(bench, a_job({"run": "head -c 9000 /dev/zero > data"}, {"run": f"touch {mark}; sleep 99"}), mark)
    store, told = store_of(bench), list[bool]()
    await store.tidy()
    assert len(store.waiting) == 1
    store.limits, store.on_change = limits, lambda: told.append(bool(store.waiting))
    await asyncio.sleep(0.06)
    await store.tidy()
    assert (store.waiting, told) == ({}, [False])
    assert list((tmp_path / "resume").iterdir()) == list((tmp_path / "slots").iterdir()) == []
    assert bench.host.places.take().number == 1


async def test_the_next_agent_keeps_the_place_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    await lose(bench, a_job({"run": "touch here"}, {"run": f"touch {mark}; sleep 99"}), mark)
    (tmp_path / "slots" / "2").mkdir()
    (tmp_path / "resume" / "other.json").write_text("{}")
    await bench.host.places.close()
    found = a_store(tmp_path, ResumeLimits(3600, 1 << 30))
    assert [saved.slot for saved in found.waiting.values()] == [1]
    assert [path.name for path in (tmp_path / "slots").iterdir()] == ["1"]
    assert (tmp_path / "slots" / "1" / "workspace" / "here").exists()
    assert len(list((tmp_path / "resume").iterdir())) == 1
    assert found.places.take().number == 2
    await found.places.close()
    off = a_store(tmp_path, ResumeLimits(0, 1 << 30))
    assert (off.waiting, list((tmp_path / "slots").iterdir()), list((tmp_path / "resume").iterdir())) == ({}, [], [])
    await off.places.close()


async def test_of_two_that_name_one_slot_neither_is_believed(bench: Bench, tmp_path: Path) -> None:
    """A file of an attempt that has ended could not be removed: its place has been another's since then."""
    mark = tmp_path / "mark"
    await lose(bench, a_job({"run": "touch here"}, {"run": f"touch {mark}; sleep 99"}), mark)
    (saved,) = store_of(bench).waiting.values()
    (tmp_path / "resume" / "stale.json").write_text(saved.model_copy(update={"job_id": "stale"}).model_dump_json())
    await bench.host.places.close()
    found = a_store(tmp_path, ResumeLimits(3600, 1 << 30))
    assert (found.waiting, found.places.reserved) == ({}, set())
    assert list((tmp_path / "resume").iterdir()) == list((tmp_path / "slots").iterdir()) == []
    await found.places.close()


async def test_a_slot_that_is_kept_is_nobody_elses(bench: Bench, tmp_path: Path) -> None:
    mark, seen = tmp_path / "mark", tmp_path / "seen"
    await lose(bench, a_job({"run": "true"}, {"run": f"touch {mark}; sleep 99"}), mark)
    other = AttemptRun(bench.host, a_job({"run": f"pwd > {seen}"}))
    await other.run(bench.report)
    assert seen.read_text().strip().endswith("/slots/2/workspace")
