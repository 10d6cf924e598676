"""The end of a failed job's log, as `job show` and `dlq show` have it: the last lines of the step that ended it.

As it is stored, so masked; without colours and what steers a terminal. Read by bytes from near the step's end, however
long its log is. Deliberately not here: whole logs (``waiting``).
"""

from collections.abc import Iterator
from typing import Final

from api.cli.client.connection import CliError
from api.cli.client.http import JOBS, ApiClient
from api.cli.client.terminal import plain
from api.cli.output import say
from api.wording import counted
from workflows.contracts.fields import in_brief
from workflows.contracts.jobs import Attempt, Job, StepResult
from workflows.contracts.statuses import JobStatus, Outcome

LINES: Final = 20
_BYTES: Final = 16 * 1024
_WIDTH: Final = 500
_TOLD: Final = frozenset({JobStatus.FAILED, JobStatus.DEAD_LETTERED, JobStatus.TIMEOUT, JobStatus.ERROR})


def print_log_end(job: Job, api: ApiClient) -> None:
    """Nothing for a job that did not fail, that left no log, or whose log cannot be read now or with this key."""
    last = job.attempts[-1] if job.attempts else None
    if last is None or job.status not in _TOLD or job.logs_removed_at is not None or last.log_bytes == 0:
        return
    step = failed_step(job, last)
    try:
        data, cut = _read(api, job.job_id, last, step)
    except CliError:
        return
    lines = plain(data).splitlines()[1 if cut else 0 :]
    if not lines:
        return
    of = "" if step is None else f" of step {in_brief(step.name)!r}"
    shown = lines[-LINES:]
    say(f"\nEnd of the log{of} in {job.attempt_words(last.number)} ({counted(len(shown), 'line')})")
    for line in shown:
        say(f"  {line if len(line) <= _WIDTH else line[: _WIDTH - 1] + '…'}")
    say(f"  Whole log: `{api.command(f'logs {job.job_id}')}`")


def failed_step(job: Job, attempt: Attempt) -> StepResult | None:
    """The first that ended the attempt: what runs after a failure, and what may fail, did not."""
    for number, result in enumerate(attempt.steps):
        may_fail = number < len(job.steps) and job.steps[number].continue_on_error
        if result.outcome not in (None, Outcome.SUCCEEDED) and not result.resumed and not may_fail:
            return result
    return None


def _read(api: ApiClient, job_id: str, attempt: Attempt, step: StepResult | None) -> tuple[bytes, bool]:
    """The bytes, and whether the first line is a part of one. Raises CliError."""
    path = f"{JOBS}/{job_id}/logs"
    if step is None or step.log_start is None or step.log_end is None:
        with api.stream(path, {"attempt": attempt.number, "lines": f"-{LINES}"}) as pieces:
            return b"".join(pieces)[-_BYTES:], False
    start = max(step.log_start, step.log_end - _BYTES)
    with api.stream(path, {"attempt": attempt.number, "start": start}) as pieces:
        return _first(pieces, step.log_end - start), start > step.log_start


def _first(pieces: Iterator[bytes], size: int) -> bytes:
    found = b""
    for piece in pieces:
        found += piece
        if len(found) >= size:
            break
    return found[:size]
