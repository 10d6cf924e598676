"""What people see: ages, durations, sizes, tables, colour, advice, exit codes."""

import os
import pty
import re
import subprocess
import sys

import pytest

from api.cli import output
from api.cli.client.connection import CliError
from api.cli.client.follow import exit_code
from api.cli.client.log_reader import LogReader
from api.cli.client.progress import describe, outcome
from api.cli.commands.step_edits import with_commands
from workflows.contracts.jobs import Attempt, Job, JobSpec, Step, new_job
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

NOW = 1_700_000_000_000
DRAW = (
    "from api.cli.output import *\n"
    "print_table([Column('JOB', keep=True), Column('STATUS', keep=True), Column('REPOSITORY')],"
    " [('a' * 8, 'failed', 'r' * 200)])"
)


def job(**changes: object) -> Job:
    spec = JobSpec(
        job_type="t", git_repo="https://x/r", git_commit_sha="a" * 40, git_author="a", steps=[Step(name="s", run="s")]
    )
    return new_job(spec, job_id="00000000-0000-0000-0000-000000000000", now=NOW).model_copy(update=changes)


def tried(result: Outcome) -> list[Attempt]:
    return [Attempt(number=1, queued_at=NOW, claimed_at=NOW, finished_at=NOW, outcome=result, cause=str(result))]


def test_ages_durations_sizes() -> None:
    ages = [output.age(NOW - seconds * 1000, NOW) for seconds in (0, 5, 200, 7300, 200_000, 40 * 86_400, -90)]
    assert ages == ["now", "5 s ago", "3 min ago", "2 h ago", "2 d ago", "2023-10-05", "in 1 min 30 s"]
    spans = [output.span(seconds) for seconds in (None, 0.04, 9.96, 59.6, 3599, 7260, 90_000)]
    assert spans == ["-", "0.0 s", "10 s", "1 min 0 s", "59 min 59 s", "2 h 1 min", "1 d 1 h"]
    assert [output.size(count) for count in (None, 0, 1023, 1536, 5 << 30)] == [
        "-",
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
    ]


def test_no_time_that_is_over_is_counted_down() -> None:
    assert [output.span(seconds) for seconds in (-0.7, -60)] == ["0.0 s"] * 2
    assert output.age(NOW + 700, NOW) == "now"


def test_nothing_is_cut_or_coloured_for_a_program() -> None:
    done = subprocess.run([sys.executable, "-c", DRAW], capture_output=True, check=True)
    assert b"r" * 200 in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_its_width_and_colour(no_color: str) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "60", "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    if no_color:
        env["NO_COLOR"] = no_color
    done = subprocess.run([sys.executable, "-c", DRAW], stdout=theirs, env=env, check=True)
    text = os.read(ours, 100_000)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    assert b"aaaaaaaa" in text
    assert "…".encode() in text
    assert (b"\x1b[31m" in text) is not bool(no_color)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": JobStatus.SUCCESS, "exit_code": 0}, 0),
        ({"status": JobStatus.CANCELLED}, 130),
        ({"status": JobStatus.TIMEOUT}, 124),
        ({"status": JobStatus.FAILED, "exit_code": 42}, 42),
        ({"status": JobStatus.FAILED, "exit_code": None}, 1),
        ({"status": JobStatus.ERROR, "exit_code": 5}, 1),
        ({"status": JobStatus.DEAD_LETTERED, "exit_code": 9, "attempts": tried(Outcome.FAILED)}, 9),
        ({"status": JobStatus.DEAD_LETTERED, "attempts": tried(Outcome.TIMED_OUT)}, 124),
        ({"status": JobStatus.DEAD_LETTERED, "exit_code": 9, "attempts": tried(Outcome.AGENT_LOST)}, 1),
    ],
)
def test_exit_codes(changes: dict[str, object], code: int) -> None:
    assert exit_code(job(**changes)) == code


def test_states_in_words() -> None:
    queued = job(status=JobStatus.QUEUED)
    assert describe(queued, NOW) == "Waiting for a free agent in pool default (NORMAL)"
    later = job(status=JobStatus.QUEUED, attempts=tried(Outcome.FAILED), next_attempt_at=NOW + 5000)
    assert describe(later, NOW) == "Attempt 1 of 3 ended with failed, tries again in 5.0 s; --retries 0 fails at once"
    running = {"status": JobStatus.RUNNING, "agent_id": "agent-1", "attempts": tried(Outcome.FAILED)}
    assert describe(job(**running, queue_status=QueueStatus.RUNNING), NOW) == "Attempt 1 runs on agent-1"
    assert describe(job(**running, queue_status=QueueStatus.CLAIMED), NOW) == "Attempt 1: agent-1 has claimed it"
    assert outcome(job(status=JobStatus.SUCCESS, duration_seconds=2.0)) == "Success in 2.0 s."
    assert outcome(job(status=JobStatus.FAILED, exit_code=3)) == "Failed: exit code 3."


def test_after_a_redrive_the_words_count_the_new_round() -> None:
    attempts = [each.model_copy(update={"number": number}) for number in (1, 2, 3, 4) for each in tried(Outcome.FAILED)]
    redriven = job(status=JobStatus.QUEUED, attempts=attempts, round=2, round_start=3, next_attempt_at=NOW + 5000)
    said = "Round 2, attempt 1 of 3 ended with failed, tries again in 5.0 s; --retries 0 fails at once"
    assert describe(redriven, NOW) == said
    running = {"status": JobStatus.RUNNING, "queue_status": QueueStatus.RUNNING, "agent_id": "agent-1"}
    assert describe(job(**running, attempts=attempts, round=2, round_start=3), NOW) == (
        "Round 2, attempt 1 runs on agent-1"
    )


@pytest.mark.parametrize(
    ("run", "named", "commands", "error"),
    [
        (["pytest -x", "ls -l"], [], ["pytest -x", "ls -l"], None),
        ([], ["test=a=b"], ["a=b", "ls"], None),
        ([], ["ls=ls -l"], ["pytest", "ls -l"], None),
        (["one"], [], None, "give one for each, or --step"),
        ([], ["nope=x"], None, "It has no step 'nope': its 2 steps are test, ls."),
        ([], ["test"], None, "is not NAME=COMMAND"),
        (["a", "b"], ["test=x"], None, "--run for all steps, or --step"),
    ],
)
def test_other_commands_for_steps(run: list[str], named: list[str], commands: list[str] | None, error: str) -> None:
    steps = [Step(name="test", run="pytest", timeout_seconds=7), Step(name="ls", run="ls")]
    if commands is None:
        with pytest.raises(CliError, match=re.escape(error)):
            with_commands(steps, run, named)
        return
    changed = with_commands(steps, run, named)
    assert [step.run for step in changed] == commands
    assert (changed[0].name, changed[0].timeout_seconds) == ("test", 7)
    assert changed[1].name == changed[1].run  # it was called like its command


class Pieces(LogReader):
    """The reader on given pieces instead of a connection."""

    def take(self, *pieces: bytes) -> None:
        self._copy(iter(pieces))


@pytest.mark.parametrize(
    ("pieces", "written", "offset"),
    [
        ([b"abc\n", b"[hybridci] the server is stopping; go on with start=4\n"], b"abc\n", 4),
        ([b"abc", b"\n[hybridci] the ser", b"ver is stopping; go on with start=3\n"], b"abc", 3),
        ([b"abc", b"\n[hybridci] the rest of attempt 1's log was lost with its agent\n"], b"abc", 3),
        ([b"[hybridci] attempt 1 said the job itself\n", b"x"], b"[hybridci] attempt 1 said the job itself\nx", 42),
        ([b"[hybridci] the server is stopping; go on with start=9\n", b"x"], None, 55),
        # A proxy joined the two: the remark is shown, but not counted.
        ([b"abc\n[hybridci] the server is stopping; go on with start=4\n"], None, 4),
    ],
)
def test_remarks_of_the_api_are_no_bytes_of_the_log(pieces: list[bytes], written: bytes | None, offset: int) -> None:
    seen: list[bytes] = []
    reader = Pieces(None, "id", 1, seen.append)  # type: ignore[arg-type]
    reader.take(*pieces)
    assert b"".join(seen) == (b"".join(pieces) if written is None else written)
    assert reader.offset == offset
