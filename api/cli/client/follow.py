"""Wait for a job and copy its log: from attempt to attempt, across lost connections, without a gap or a duplicate.

The record says which attempts there are. The end of a stream proves nothing (the API may have been restarted): only the
record ends the wait. Deliberately not here: reading one attempt's log (``log_reader``) and what is shown while a job is
queued (``progress``).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from api.cli.client.connection import INTERRUPTED, REFUSED, TIMED_OUT
from api.cli.client.http import ApiClient, Transient
from api.cli.client.log_reader import LogReader
from api.cli.client.terminal import LogSink
from api.cli.output import note
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.statuses import JobStatus, Outcome

_POLL_SECONDS: Final = (0.1, 0.1, 0.2, 0.3, 0.5, 1.0)
_RETRY_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_LATE_LOG_SECONDS: Final = 10.0
"""How long the last bytes of an ended attempt's log may lag behind its record."""


class FollowProgress(Protocol):
    """Is told where the job stands while there is no log to show."""

    def update(self, job: Job) -> None:
        """The record as just read."""
        ...

    def begin(self, attempt: Attempt, job: Job) -> None:
        """The log of this attempt of the job follows."""
        ...

    def clear(self) -> None:
        """Something else is about to be printed: take away what is on the screen."""
        ...


@dataclass(slots=True)
class Follower:
    """Copies the log of one job to ``sink`` and returns when the job has ended."""

    api: ApiClient
    job_id: str
    sink: LogSink
    progress: FollowProgress
    timestamps: bool = False
    part: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    """Of the first attempt that is copied."""
    give_up_seconds: float = 600.0
    copied: int = field(default=0, init=False)

    def follow(self, first: int = 1, *, last: int | None = None) -> Job:
        """Copy attempt ``first`` and all after it, or up to ``last``, and return the record as it is then.

        Raises CliError when the API stays away for too long.
        """
        number = first
        pauses = _Pauses(_POLL_SECONDS)
        while True:
            job = self._job()
            attempt = _attempt(job, number)
            if attempt is None or not _claimed(attempt):
                if job.status.ended:
                    self.progress.clear()
                    return job
                self.progress.update(job)
                pauses.pause()
                continue
            self.progress.begin(attempt, job)
            self.copy_attempt(attempt)
            if attempt.number == last:
                return self._job()
            number = attempt.number + 1
            pauses = _Pauses(_POLL_SECONDS)

    def copy_attempt(self, attempt: Attempt) -> None:
        """Copy one attempt's log until the record says that it is over and all of it is here."""
        reader = self._reader(attempt.number)
        pauses = _Pauses(_POLL_SECONDS)
        over_since: float | None = None
        while True:
            before = reader.seen
            self._persist(partial(reader.read, follow=over_since is None))
            if over_since is not None:
                late = time.monotonic() - over_since > _LATE_LOG_SECONDS
                if late or reader.seen >= (attempt.log_bytes or 0):
                    break
            if reader.seen == before:
                pauses.pause()
            else:
                pauses = _Pauses(_POLL_SECONDS)
            attempt = _attempt(self._job(), attempt.number) or attempt
            if attempt.finished_at is not None and over_since is None:
                over_since = time.monotonic()
        missing = (attempt.log_bytes or 0) - reader.seen
        reader.flush()
        _warn(reader, attempt)
        if missing > 0:
            note(f"The last {missing} bytes of the log of attempt {attempt.number} have not arrived.")

    def copy_stored(self, number: int) -> None:
        """Copy what is stored now of one attempt's log. Raises CliError at once when the API cannot be reached."""
        reader = self._reader(number)
        reader.read(follow=False)
        reader.flush()
        _warn(reader, None)

    def _reader(self, number: int) -> LogReader:
        part, self.part = self.part, {}
        return LogReader(self.api, self.job_id, number, self._write, self.timestamps, part)

    def _write(self, data: bytes) -> None:
        """To the sink, at once: somebody is watching."""
        self.progress.clear()
        self.sink.write(data)
        self.sink.flush()
        self.copied += len(data)

    def _job(self) -> Job:
        found: list[Job] = []
        self._persist(lambda: found.append(self.api.job(self.job_id)))
        return found[-1]

    def _persist(self, call: "Call") -> None:
        """Repeat ``call`` while the API cannot be reached; say so once."""
        pauses = _Pauses(_RETRY_SECONDS)
        failing_since, copied = 0.0, -1
        while True:
            try:
                call()
            except Transient:
                if copied != self.copied:
                    failing_since, copied, pauses = time.monotonic(), self.copied, _Pauses(_RETRY_SECONDS)
                if time.monotonic() - failing_since > self.give_up_seconds:
                    raise
                if pauses.count == 1:
                    self.progress.clear()
                    note(f"{self.api.connection.url} does not answer: waiting for it. The job goes on meanwhile.")
                pauses.pause()
            else:
                return


class Call(Protocol):
    """A request that may be repeated."""

    def __call__(self) -> object:
        """Make it."""
        ...


@dataclass(slots=True)
class _Pauses:
    """Pauses that grow up to the last."""

    seconds: tuple[float, ...]
    count: int = 0

    def pause(self) -> None:
        time.sleep(self.seconds[min(self.count, len(self.seconds) - 1)])
        self.count += 1


def exit_code(job: Job) -> int:
    """What waiting for this job exits with: its command's code, and the shell's customary codes for the rest."""
    if job.status is JobStatus.SUCCESS:
        return 0
    if job.status is JobStatus.CANCELLED:
        return INTERRUPTED
    last = job.attempts[-1].outcome if job.attempts else None
    parked = job.status is JobStatus.DEAD_LETTERED
    if job.status is JobStatus.TIMEOUT or (parked and last is Outcome.TIMED_OUT):
        return TIMED_OUT
    failed = job.status is JobStatus.FAILED or (parked and last is Outcome.FAILED)
    if failed and job.exit_code is not None and 0 < job.exit_code < 256:
        return job.exit_code
    return REFUSED


def _warn(reader: LogReader, attempt: Attempt | None) -> None:
    """Of a log that was cut off on its agent, or changed after it was sent."""
    if attempt is not None and attempt.log_cut_off is not None:
        note(f"Attempt {attempt.number}: {attempt.log_cut_off}")
    if reader.altered is not None:
        note(f"Do not trust it: {reader.altered}.")


def _attempt(job: Job, number: int) -> Attempt | None:
    """Attempt ``number`` or the next there is: numbers can have gaps where an agent declined."""
    return next((attempt for attempt in job.attempts if attempt.number >= number), None)


def _claimed(attempt: Attempt) -> bool:
    return attempt.claimed_at is not None or attempt.started_at is not None or attempt.finished_at is not None
