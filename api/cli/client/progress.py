"""What is shown on stderr while a job waits and runs: one moving line on a terminal, plain lines everywhere else."""

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from api.cli.client.connection import CliError
from api.cli.client.http import JOBS, PAGE_SIZE, ApiClient
from api.cli.output import clean, console, note, now_ms, span
from workflows.contracts.jobs import Attempt, Job, JobSummary
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

if TYPE_CHECKING:
    from rich.status import Status

_PLACE_AFTER_SECONDS: Final = 2.0
_ASK_EVERY_SECONDS: Final = 5.0


class MovingLine:
    """A line on the terminal that changes in place."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def show(self, text: str) -> None:
        """Show this text instead of the last."""
        from rich.text import Text

        shown = Text(clean(text))
        if self._status is None:
            self._status = console(stderr=True).status(shown)
            self._status.start()
        else:
            self._status.update(shown)

    def clear(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


@dataclass(slots=True)
class QueueProgress:
    """Follows a job's states; ``interactive`` where stderr is a terminal."""

    api: ApiClient
    interactive: bool = field(default_factory=lambda: sys.stderr.isatty())
    _said: str = field(default="", init=False)
    _told_again: int = field(default=0, init=False)
    _line: MovingLine = field(default_factory=MovingLine, init=False)
    _place: str = field(default="", init=False)
    _asked_at: float = field(default=0.0, init=False)
    _advice: str = field(default="", init=False)

    def update(self, job: Job) -> None:
        """Show where the job stands, when that is news."""
        waiting = job.status in (JobStatus.PENDING, JobStatus.QUEUED)
        text = describe(job)
        if waiting and self.interactive:
            self._line.show(f"{text}{self._details(job)}")
        elif text != self._said and not job.status.ended:
            self.clear()
            note(text)
            self._said = text
            if job.next_attempt_at is not None and job.attempts:
                self._told_again = job.attempts[-1].number

    def begin(self, attempt: Attempt, job: Job) -> None:
        """Say whose log follows, and why there is another one."""
        self.clear()
        before = next((each for each in job.attempts if each.number == attempt.number - 1), None)
        if before is not None and before.number > self._told_again:
            note(tried_again(job, before))
            self._told_again = before.number
        note(f"{_numbered(job, attempt.number)}{f' on {attempt.agent_id}' if attempt.agent_id else ''}")

    def clear(self) -> None:
        """Take the moving line away."""
        self._line.clear()

    def _details(self, job: Job) -> str:
        waited = (now_ms() - (job.queued_at or job.created_at)) / 1000
        if job.next_attempt_at is not None and job.next_attempt_at > now_ms():
            return ""  # it waits for its time, not in line
        now = time.monotonic()
        if waited > _PLACE_AFTER_SECONDS and now - self._asked_at > _ASK_EVERY_SECONDS:
            self._place, self._asked_at = place_in_line(self.api, job), now
            self._advice = lacking(self.api, job) if job.next_attempt_at is None else ""
        return f" for {span(waited)}{self._place}{self._advice}"


def describe(job: Job, now: int | None = None) -> str:
    """What the job does or waits for, in words that change only when that changes."""
    number = _numbered(job, len(job.attempts))
    agent = job.agent_id or "an agent"
    if job.status.ended:
        return outcome(job)
    if job.next_attempt_at is not None and job.next_attempt_at > (now_ms() if now is None else now):
        return tried_again(job, job.attempts[-1]) if job.attempts else "Waiting to try again"
    if job.queue_status is QueueStatus.CLAIMED:
        return f"{number}: {agent} has claimed it"
    if job.status is JobStatus.RUNNING:
        return f"{number} runs on {agent}"
    return f"Waiting for a free agent in pool {job.pool} ({job.priority})"


def tried_again(job: Job, attempt: Attempt) -> str:
    """That another attempt follows this one, how many there can be, and how to have none."""
    this_round = [each for each in job.attempts if each.number > job.round_start]
    failed = [each.number - job.round_start for each in this_round if each.outcome is Outcome.FAILED]
    number = _numbered(job, attempt.number)
    in_order = bool(failed) and failed[-1] == len(failed) <= job.retry.max_attempts
    if attempt.outcome is Outcome.FAILED and attempt.number > job.round_start and in_order:
        number += f" of {job.retry.max_attempts}"
    code = f"exit code {attempt.exit_code}" if attempt.exit_code else attempt.cause or attempt.outcome
    pause = None
    if attempt.number == len(job.attempts) and job.next_attempt_at is not None and attempt.finished_at is not None:
        pause = (job.next_attempt_at - attempt.finished_at) / 1000
    when = f" in {span(pause)}" if pause is not None and pause > 0 else ""
    remedy = "; --retries 0 fails at once" if attempt.outcome is Outcome.FAILED else ""
    return f"{number} ended with {code}, tries again{when}{remedy}"


def _numbered(job: Job, number: int) -> str:
    words = job.attempt_words(number)
    return words[:1].upper() + words[1:]


def outcome(job: Job) -> str:
    """How the job ended, in one sentence."""
    took = f" in {span(job.duration_seconds)}" if job.duration_seconds is not None else ""
    if job.status is JobStatus.SUCCESS:
        flaky = f" Flaky: it passed on attempt {len(job.attempts)}." if job.flaky else ""
        return f"Success{took}.{flaky}"
    word = "Parked as a dead letter" if job.status is JobStatus.DEAD_LETTERED else job.status.value.capitalize()
    code = f"exit code {job.exit_code}" if job.exit_code else job.cause
    why = job.error_message or code
    return f"{word}: {why}".rstrip(".") + "." if why else f"{word}."


def place_in_line(api: ApiClient, job: Job) -> str:
    """`, place 3 of 12` among the queued jobs of the pool; empty when it cannot be told."""
    try:
        page: Any = api.get(JOBS, {"status": JobStatus.QUEUED, "pool": job.pool, "limit": PAGE_SIZE})
    except CliError:
        return ""
    if page.get("next_cursor"):
        return f", one of more than {PAGE_SIZE} in line"
    line = [JobSummary.model_validate(item) for item in page["items"]]
    due = [other for other in line if other.next_attempt_at is None and other.pool == job.pool]
    ahead = [other for other in due if _turn(other) < _turn(job) and other.job_id != job.job_id]
    return f", place {len(ahead) + 1} of {max(len(due), len(ahead) + 1)}"


def lacking(api: ApiClient, job: Job) -> str:
    """What the job waits for besides its turn, as the API says, and what helps; empty when that is nothing."""
    try:
        record: Any = api.get(f"{JOBS}/{job.job_id}")
    except CliError:
        return ""
    if not record.get("waits_for"):
        return ""
    return f"; {record['waits_for']}; see `{api.command(f'agents list --pool {job.pool}')}`"


def _turn(job: Job | JobSummary) -> tuple[int, int]:
    return (job.priority.key, job.queued_at or job.created_at)
