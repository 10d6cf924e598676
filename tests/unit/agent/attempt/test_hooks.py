"""The operator's hooks around an attempt: when they run, what they are told, what they refuse. Real programs."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.attempt.run import AttemptRun
from agent.attempt.verdict import Interruption
from agent.git.errors import CheckoutError
from agent.hooks.folder import AFTER_CHECKOUT, AFTER_JOB, AFTER_STEP, BEFORE_CHECKOUT, BEFORE_STEP, HOOKS, HookFolder
from agent.settings import AgentSettings
from agent.steps.executors.shell import ShellExecutor
from agent.steps.job_user import JobUser
from tests.control_plane_server import ControlPlaneServer
from tests.unit.agent.attempt.test_run import Bench, a_bench
from tests.unit.agent.attempt.test_sequence import FAIL, OK, job
from tests.unit.processes import alive, pid_in, until
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.statuses import Outcome

ALWAYS = {"run": "echo always", "when": "always"}


class Hooked:
    """A bench whose agent has hooks; ``told`` is where they write."""

    def __init__(self, bench: Bench, folder: Path, told: Path, seconds: float = 20) -> None:
        self.folder, self.told = folder, told
        folder.mkdir(mode=0o755)
        settings = AgentSettings(hooks=folder, hook_seconds=seconds)
        hooks = HookFolder.load(settings, JobUser("steps", 65534, 65534, ()))
        self.bench = Bench(bench.server, replace(bench.host, hooks=hooks), bench.checkout, bench.executor)

    def add(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def of(self, name: str) -> str:
        return Path(f"{self.told}-{name}").read_text()

    async def run(self, *steps: dict[str, Any], **fields: Any) -> tuple[AttemptResult, str]:
        attempt = job(*steps, **fields)
        result = await self.bench.run(attempt)
        return result, await self.bench.log(attempt)


@pytest.fixture
async def hooked(tmp_path: Path) -> AsyncIterator[Hooked]:
    async with ControlPlaneServer() as server, a_bench(server, tmp_path, executor=ShellExecutor()) as bench:
        yield Hooked(bench, tmp_path / "hooks", tmp_path / "told")


async def test_each_runs_in_its_turn(hooked: Hooked) -> None:
    for name in HOOKS:
        hooked.add(name, f"echo $HYBRIDCI_HOOK $HYBRIDCI_STEP_NAME >> {hooked.told}")
    result, _ = await hooked.run({"run": f"echo step >> {hooked.told}"}, OK)
    assert result.outcome is Outcome.SUCCEEDED
    assert hooked.told.read_text().split("\n") == [
        BEFORE_CHECKOUT, AFTER_CHECKOUT, f"{BEFORE_STEP} s0", "step", f"{AFTER_STEP} s0",
        f"{BEFORE_STEP} s1", f"{AFTER_STEP} s1", AFTER_JOB, "",
    ]  # fmt: skip


async def test_they_are_told_the_jobs_facts_and_none_of_its_values(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDCI_API_KEY", "the-agents-own")
    monkeypatch.setenv("SOMETHING_ELSE", "of-the-agent")
    for name in (AFTER_STEP, AFTER_JOB):
        hooked.add(name, f"env > {hooked.told}-{name}")
    attempt = job(
        {"run": "exit 3", "env": {"OF_STEP": "no"}},
        env={"PATH": "/of/the/job", "OF_JOB": "no", "HYBRIDCI_SERVICE": "shop", "HYBRIDCI_ENVIRONMENT": "production"},
        git_ref="main",
        git_repo="https://ann:pass-word@example.com/shop.git",
    )
    result = await hooked.bench.run(attempt)
    assert result.outcome is Outcome.FAILED
    found = hooked.of(AFTER_STEP)
    told = dict(line.split("=", 1) for line in found.splitlines())
    expected = {
        "HYBRIDCI_JOB_ID": attempt.job_id, "HYBRIDCI_ATTEMPT_NUMBER": "1", "HYBRIDCI_POOL": "default",
        "HYBRIDCI_REPO": "https://***@example.com/shop.git", "HYBRIDCI_REF": "main", "HYBRIDCI_COMMIT": "a" * 40,
        "HYBRIDCI_SERVICE": "shop", "HYBRIDCI_ENVIRONMENT": "production", "HYBRIDCI_HOOK": AFTER_STEP,
        "HYBRIDCI_STEP_NAME": "s0", "HYBRIDCI_STEP_INDEX": "0", "HYBRIDCI_STEP_OUTCOME": "failed",
        "HYBRIDCI_STEP_EXIT_CODE": "3",
    }  # fmt: skip
    assert {name: told.get(name) for name in expected} == expected
    assert not {"OF_JOB", "OF_STEP", "HYBRIDCI_API_KEY", "SOMETHING_ELSE"} & told.keys()
    assert told["PATH"] != "/of/the/job"
    assert told["PWD"] == told["HYBRIDCI_WORKSPACE"]
    ended = hooked.of(AFTER_JOB)
    assert "HYBRIDCI_OUTCOME=failed\n" in ended
    assert "HYBRIDCI_EXIT_CODE=3\n" in ended


async def test_its_lines_stand_in_the_log_behind_its_name(hooked: Hooked) -> None:
    hooked.add(BEFORE_CHECKOUT, "echo one; echo two >&2; printf three")
    result, log = await hooked.run(OK)
    assert result.outcome is Outcome.SUCCEEDED
    lines = "".join(f"[hook before-checkout] {word}\n" for word in ("one", "two", "three"))
    assert lines in log
    assert result.log_bytes == len(log.encode())


@pytest.mark.parametrize("name", [BEFORE_CHECKOUT, AFTER_CHECKOUT, BEFORE_STEP, AFTER_STEP, AFTER_JOB])
async def test_one_that_fails_refuses_the_job_with_its_last_line(name: str, hooked: Hooked) -> None:
    hooked.add(name, "echo looking; echo 'Shop is not for this host.'; exit 7")
    if name != AFTER_JOB:
        hooked.add(AFTER_JOB, f"echo $HYBRIDCI_CAUSE > {hooked.told}")
    result, log = await hooked.run({"run": "echo ran-s0"}, ALWAYS)
    assert (result.outcome, result.cause, result.retryable) == (Outcome.AGENT_ERROR, "hook_failed", False)
    assert result.message is not None
    assert result.message.startswith(
        f"The agent's hook {name} refused the job with exit code 7: Shop is not for this h"
    )
    assert f"[hybridci] {result.message}\n" in log
    ran = {BEFORE_CHECKOUT: [], AFTER_CHECKOUT: [], BEFORE_STEP: [], AFTER_STEP: ["s0"]}.get(name, ["s0", "s1"])
    assert [step.name for step in result.steps if step.outcome is not None] == ran
    assert ("checking out" in log) == (name != BEFORE_CHECKOUT)
    assert name == AFTER_JOB or hooked.told.read_text() == "hook_failed\n"


async def test_at_the_jobs_end_another_failure_stays_and_the_log_says_it(hooked: Hooked) -> None:
    for name in (AFTER_STEP, AFTER_JOB):
        hooked.add(name, "echo broken; exit 1")
    result, log = await hooked.run(FAIL)
    assert (result.outcome, result.cause, result.exit_code) == (Outcome.FAILED, "exit_code", 3)
    for name in (AFTER_STEP, AFTER_JOB):
        assert f"[hybridci] The agent's hook {name} refused the job with exit code 1: broken." in log


async def test_one_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path, hooked: Hooked) -> None:
    hooks = hooked.bench.host.hooks
    assert hooks is not None
    hooked.bench.host = replace(hooked.bench.host, hooks=replace(hooks, seconds=1))
    hooked.add(BEFORE_STEP, f"sleep 1000 & echo $! > {hooked.told}; wait")
    result, _ = await hooked.run(OK)
    assert (result.outcome, result.cause) == (Outcome.AGENT_ERROR, "hook_failed")
    assert result.message is not None
    assert "ran longer than 1 s and was ended, and said nothing." in result.message
    assert not alive(pid_in(hooked.told))


async def test_what_it_leaves_behind_ends_with_it(hooked: Hooked) -> None:
    hooked.add(BEFORE_STEP, f"setsid sleep 1000 > /dev/null 2>&1 & echo $! > {hooked.told}")
    result, _ = await hooked.run(OK)
    assert result.outcome is Outcome.SUCCEEDED
    assert not alive(pid_in(hooked.told))


async def test_the_last_one_runs_after_a_cancel_and_a_failed_checkout(hooked: Hooked) -> None:
    hooked.add(AFTER_STEP, f"echo $HYBRIDCI_HOOK >> {hooked.told}")
    hooked.add(AFTER_JOB, f"echo $HYBRIDCI_OUTCOME >> {hooked.told}")
    attempt = job({"run": f"touch {hooked.told}-begun; sleep 1000"}, OK)

    def cancel(run: AttemptRun) -> None:
        run.interrupt(Interruption.CANCELLED)

    result = await hooked.bench.run(attempt, cancel, once=Path(f"{hooked.told}-begun").exists)
    assert result.outcome is Outcome.CANCELLED
    assert hooked.told.read_text().split() == [AFTER_STEP, "cancelled"]
    hooked.bench.checkout.error = CheckoutError("unknown_commit", "gone", retryable=False)
    hooked.bench.results.clear()
    result, _ = await hooked.run(OK)
    assert result.outcome is Outcome.CHECKOUT_FAILED
    assert hooked.told.read_text().split()[2:] == ["checkout_failed"]


@pytest.mark.parametrize("name", [BEFORE_CHECKOUT, BEFORE_STEP])
async def test_a_cancel_ends_one_that_runs_and_no_step_begins(name: str, hooked: Hooked) -> None:
    hooked.add(name, f"echo $$ > {hooked.told}; exec sleep 1000")

    def cancel(run: AttemptRun) -> None:
        run.interrupt(Interruption.CANCELLED)

    def begun() -> bool:
        return hooked.told.exists() and bool(hooked.told.read_text())

    result = await hooked.bench.run(job(OK), cancel, once=begun)
    assert result.outcome is Outcome.CANCELLED
    assert [step for step in result.steps if step.outcome is not None] == []
    assert not alive(pid_in(hooked.told))


async def test_none_runs_for_an_attempt_that_is_not_ours_any_more(hooked: Hooked) -> None:
    for name in (AFTER_STEP, AFTER_JOB):
        hooked.add(name, f"touch {hooked.told}")
    begun = Path(f"{hooked.told}-begun")

    def lose(run: AttemptRun) -> None:
        run.interrupt(Interruption.LEASE_LOST, grace_seconds=0)

    result = await hooked.bench.run(job({"run": f"touch {begun}; sleep 1000"}), lose, once=begun.exists)
    assert result.outcome is Outcome.AGENT_LOST
    assert not hooked.told.exists()


async def test_a_folder_that_is_opened_to_others_meanwhile_refuses_the_job(hooked: Hooked) -> None:
    hooked.add(BEFORE_CHECKOUT, f"touch {hooked.told}")
    hooked.folder.chmod(0o777)
    result, log = await hooked.run(OK)
    assert (result.outcome, result.cause) == (Outcome.AGENT_ERROR, "hook_failed")
    assert log.count("can be written") == 1
    assert re.search(r"hooks can be written by the user .*No job runs past it\.$", result.message or "")
    assert not hooked.told.exists()


async def test_it_is_in_the_attempts_family_while_it_runs(hooked: Hooked) -> None:
    """So the guardian, which knows the cookie and each group, ends it when the agent is killed."""
    hooked.add(BEFORE_CHECKOUT, f"env | grep ^HYBRIDCI_ATTEMPT= > {hooked.told}")
    attempt = job(OK)
    assert (await hooked.bench.run(attempt)).outcome is Outcome.SUCCEEDED
    await until(hooked.told.exists)
    assert hooked.told.read_text() == f"HYBRIDCI_ATTEMPT={attempt.job_id}-1\n"
