"""Which steps of an attempt run, when they are stopped, and what its log says of them. Real commands, on fakes else."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.attempt.run import AttemptRun
from agent.attempt.verdict import Interruption
from agent.steps.executors.shell import ShellExecutor
from tests.control_plane_server import ControlPlaneServer
from tests.unit.agent.attempt.test_run import Bench, a_bench
from tests.unit.processes import alive, pid_in, until
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Step
from workflows.contracts.statuses import Outcome
from workflows.contracts.workspace.step_rules import CancelRules, CancelSignal


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with ControlPlaneServer() as server, a_bench(server, tmp_path, executor=ShellExecutor()) as bench:
        yield bench


def job(*steps: dict[str, Any], **fields: Any) -> AttemptInput:
    values: dict[str, Any] = {
        "job_id": new_job_id(), "attempt": 1, "job_type": "test", "pool": "default", "timeout_seconds": 60,
        "git_repo": "https://example.com/shop.git", "git_commit_sha": "a" * 40,
        "steps": [Step.model_validate({"name": f"s{number}", **step}) for number, step in enumerate(steps)],
    }  # fmt: skip
    return AttemptInput(**{**values, **fields})


def ran(result: AttemptResult) -> list[str]:
    return [step.name for step in result.steps if step.outcome is not None]


FAIL, OK = {"run": "exit 3"}, {"run": "true"}
FAILURE, ALWAYS = {"run": "true", "when": "failure"}, {"run": "true", "when": "always"}


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        ((OK, FAILURE, ALWAYS, OK), ["s0", "s2", "s3"]),
        ((FAIL, OK, FAILURE, OK, ALWAYS), ["s0", "s2", "s4"]),
        ((FAILURE, FAIL, FAILURE), ["s1", "s2"]),
        (({**FAIL, "continue_on_error": True}, FAILURE, OK), ["s0", "s2"]),
    ],
)
async def test_when_a_step_runs(steps: tuple[dict[str, Any], ...], names: list[str], bench: Bench) -> None:
    assert ran(await bench.run(job(*steps))) == names


async def test_the_first_failure_is_the_jobs_and_each_step_has_its_own(bench: Bench) -> None:
    result = await bench.run(job(FAIL, {"run": "exit 4", "when": "always"}, ALWAYS))
    assert (result.outcome, result.exit_code, result.cause) == (Outcome.FAILED, 3, "exit_code")
    assert [(step.outcome, step.exit_code) for step in result.steps] == [
        (Outcome.FAILED, 3), (Outcome.FAILED, 4), (Outcome.SUCCEEDED, 0),
    ]  # fmt: skip


async def test_a_step_that_always_runs_can_fail_a_job_that_was_well(bench: Bench) -> None:
    result = await bench.run(job(OK, {"run": "exit 4", "when": "always"}))
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 4)


async def test_after_a_cancel_and_a_further_one_does_not_stop_it(bench: Bench, tmp_path: Path) -> None:
    mark, again = tmp_path / "cancelled", tmp_path / "again"
    cleanup = {"run": f"touch {mark}; until [ -e {again} ]; do sleep 0.02; done; echo cleaned", "when": "always"}
    attempt = job({"run": "sleep 1000"}, OK, cleanup)

    def cancel(run: AttemptRun) -> None:
        run.interrupt(Interruption.CANCELLED)

        async def further() -> None:
            await until(mark.exists)
            run.interrupt(Interruption.CANCELLED)
            run.interrupt(Interruption.JOB_TIMEOUT)
            again.touch()

        later.append(asyncio.create_task(further()))

    later: list[asyncio.Task[None]] = []
    result = await bench.run(attempt, cancel)
    await later[0]
    assert (result.outcome, result.cause) == (Outcome.CANCELLED, "cancelled")
    assert ran(result) == ["s0", "s2"]
    assert result.steps[2].outcome is Outcome.SUCCEEDED
    assert "\ncleaned\n" in await bench.log(attempt)


async def test_after_the_jobs_timeout(bench: Bench) -> None:
    result = await bench.run(job({"run": "sleep 1000"}, ALWAYS, timeout_seconds=1))
    assert (result.outcome, result.cause) == (Outcome.TIMED_OUT, "job_timeout")
    assert ran(result) == ["s0", "s1"]


@pytest.mark.parametrize("why", [Interruption.LEASE_LOST, Interruption.FENCED, Interruption.AGENT_STOPPED])
async def test_not_when_the_attempt_is_somebody_elses(why: Interruption, bench: Bench) -> None:
    result = await bench.run(job({"run": "sleep 1000"}, ALWAYS), lambda run: run.interrupt(why, grace_seconds=0))
    assert ran(result) == ["s0"]
    assert result.outcome is Outcome.AGENT_LOST


async def test_what_runs_afterwards_ends_when_the_attempt_is_lost(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    attempt = job(FAIL, {"run": f"touch {mark}; sleep 1000", "when": "always"}, ALWAYS)
    result = await bench.run(
        attempt, lambda run: run.interrupt(Interruption.LEASE_LOST, grace_seconds=0), once=mark.exists
    )
    assert ran(result) == ["s0", "s1"]


async def test_they_have_a_limit_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.attempt.sequence.AFTER_SECONDS", 1)
    attempt = job(FAIL, {"run": "sleep 1000", "when": "always"}, ALWAYS)
    result = await bench.run(attempt)
    assert [step.outcome for step in result.steps] == [Outcome.FAILED, Outcome.TIMED_OUT, None]
    assert "Step 's2' did not run: the 1 s for such steps are over." in await bench.log(attempt)


async def test_what_a_step_keeps_lives_until_the_job_ends(bench: Bench, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    serve = {"run": f"sleep 1000 & echo $! > {pid}", "background": "keep"}
    attempt = job(serve, {"run": f"kill -0 $(cat {pid}); sleep 1000 &"}, {"run": f"kill -0 $(cat {pid})"})
    result = await bench.run(attempt)
    assert result.outcome is Outcome.SUCCEEDED
    assert not alive(pid_in(pid))
    lines = (await bench.log(attempt)).splitlines()
    assert [line for line in lines if "ended: sleep (pid " in line and "the step left was" in line]
    assert lines[-1] == f"[hybridci] 1 process that steps kept in the background was ended: sleep (pid {pid_in(pid)})"


async def test_the_signal_and_the_grace_are_the_jobs(bench: Bench, tmp_path: Path) -> None:
    ready, signals = tmp_path / "ready", tmp_path / "signals"
    script = f"trap 'echo usr2 > {signals}' USR2; touch {ready}; while :; do sleep 0.02 || true; done"
    rules = CancelRules(signal=CancelSignal.USR2, grace_seconds=1)
    attempt = job({"run": script}, cancel=rules)
    result = await bench.run(attempt, lambda run: run.interrupt(Interruption.CANCELLED), once=ready.exists)
    assert result.outcome is Outcome.CANCELLED
    assert signals.read_text() == "usr2\n"
    assert "did not end in time was killed: bash (pid" in await bench.log(attempt)


async def test_a_job_that_asks_for_it_has_its_variables_put_in(bench: Bench) -> None:
    attempt = job({"run": "echo [$A] [$B]", "env": {"B": "$A!"}}, env={"A": "$HYBRIDCI_POOL"}, expand=True)
    await bench.run(attempt)
    assert "[default] [default!]" in await bench.log(attempt)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo a\r\nno-such\r\n", "line ends of Windows (CRLF): save it with LF"),
        ("printf '#!/bin/sh\\r\\ntrue\\r\\n' > x; chmod +x x; ./x", "CRLF"),
        ("printf '#!/usr/bin/env bash\\r\\n' > x; chmod +x x; ./x", "CRLF"),
        ("printf '#!/opt/none/python9\\n' > x; chmod +x x; ./x", "#!"),
        ("printf '#!/usr/bin/env python9\\n' > x; chmod +x x; ./x", "python9"),
    ],
)
async def test_what_is_wrong_with_a_script_that_nobody_sees(script: str, words: str, bench: Bench) -> None:
    attempt = job({"run": script})
    assert (await bench.run(attempt)).outcome is Outcome.FAILED
    hints = [line for line in (await bench.log(attempt)).splitlines() if line.startswith("[hybridci] ")]
    assert words in hints[-1], hints


async def test_what_fails_for_other_reasons_has_no_hint(bench: Bench) -> None:
    attempt = job({"run": "no-such-command"})
    await bench.run(attempt)
    hints = [line for line in (await bench.log(attempt)).splitlines() if line.startswith("[hybridci] ")]
    assert [re.sub(r"\d+\.\d s", "… s", hint) for hint in hints] == [
        "[hybridci] Step 's0' ended with exit code 127. It took … s."
    ]


async def test_outputs_reach_later_steps_and_the_record(bench: Bench) -> None:
    many = "{ echo 'notes<<END'; echo one; echo a=b; echo END; } >> $HYBRIDCI_OUTPUT"
    attempt = job(
        {"run": f"echo version=1=2 >> $HYBRIDCI_OUTPUT; {many}; echo '# Hi' >> $HYBRIDCI_SUMMARY"},
        {"run": 'echo "[$HYBRIDCI_OUTPUT_version][$HYBRIDCI_OUTPUT_notes]"; echo version=3 > $HYBRIDCI_OUTPUT'},
        {"run": "echo bye >> $HYBRIDCI_SUMMARY; exit 1"},
    )
    result = await bench.run(attempt)
    assert result.outputs == {"version": "3", "notes": "one\na=b"}
    assert result.summary == "# Hi\nbye\n"
    assert "[1=2][one\na=b]" in await bench.log(attempt)
    assert {"outputs", "summary"}.isdisjoint(AttemptResult.model_validate(
        result.model_dump() | {"outputs": {}, "summary": None}
    ).model_dump())  # fmt: skip


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo no output > $HYBRIDCI_OUTPUT", "line 1 is neither name=value nor name<<WORD"),
        ("echo 'a<<END' > $HYBRIDCI_OUTPUT; echo x >> $HYBRIDCI_OUTPUT", "line 1 has no end"),
        ("head -c 70000 /dev/zero > $HYBRIDCI_OUTPUT", "longer than 64 KiB"),
        ("rm $HYBRIDCI_OUTPUT; ln -s /etc/passwd $HYBRIDCI_OUTPUT", "cannot be read"),
        ("rm $HYBRIDCI_OUTPUT; mkdir $HYBRIDCI_OUTPUT", "cannot be read"),
        ("rm $HYBRIDCI_OUTPUT; mkfifo $HYBRIDCI_OUTPUT", "no file any more"),
        ("seq -f 'n%g=1' 101 > $HYBRIDCI_OUTPUT", "101 names"),
    ],
)
async def test_what_is_no_output_is_said_and_changes_nothing(script: str, why: str, bench: Bench) -> None:
    attempt = job({"run": "echo kept=1 > $HYBRIDCI_OUTPUT"}, {"run": script})
    result = await bench.run(attempt)
    assert (result.outcome, result.outputs) == (Outcome.SUCCEEDED, {"kept": "1"})
    said = next(line for line in (await bench.log(attempt)).splitlines() if "wrote to HYBRIDCI_OUTPUT" in line)
    assert why in said


async def test_a_step_that_removes_its_file_says_nothing(bench: Bench) -> None:
    result = await bench.run(job({"run": "rm $HYBRIDCI_OUTPUT $HYBRIDCI_SUMMARY"}))
    assert (result.outcome, result.outputs, result.summary) == (Outcome.SUCCEEDED, {}, None)
