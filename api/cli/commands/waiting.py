"""Following jobs for the commands: where the log goes, what Ctrl-C does, what the exit code is."""

import sys
from collections.abc import Mapping
from typing import Any

from api.cli.client.connection import INTERRUPTED, CliError
from api.cli.client.follow import Follower, exit_code
from api.cli.client.http import JOBS, ApiClient
from api.cli.client.progress import QueueProgress, outcome
from api.cli.client.terminal import sink_for
from api.cli.output import note, print_json
from workflows.contracts.jobs import Job


def wait_for_job(api: ApiClient, job: Job, *, as_json: bool = False, first: int = 1) -> int:
    """Copy the log from attempt ``first`` on until the job has ended. Returns the exit code of the command line.

    With ``as_json`` the log goes to stderr, so that stdout holds the job's final record and nothing else.
    """
    note(f"Job {job.job_id}")
    progress = QueueProgress(api)
    try:
        with sink_for(sys.stderr if as_json else sys.stdout) as sink:
            ended = Follower(api, job.job_id, sink, progress).follow(first)
    except KeyboardInterrupt:
        progress.clear()
        note(
            f"\nDetached: the job goes on. Follow it with `{api.command(f'job logs -f {job.job_id}')}`, stop it with "
            f"`{api.command(f'job cancel {job.job_id}')}`."
        )
        return INTERRUPTED
    except CliError as error:
        hint = f"The job goes on: `{api.command(f'job show {job.job_id}')}`."
        raise CliError(f"{error.message} {hint}", error.exit_code) from None
    finally:
        progress.clear()
    note(outcome(ended))
    if as_json:
        record: Any = api.get(f"{JOBS}/{job.job_id}")
        print_json(record)
    elif not ended.status.final or exit_code(ended):
        note(f"More: `{api.command(f'job show {job.job_id}')}`")
    return exit_code(ended)


def copy_log(
    api: ApiClient,
    job_id: str,
    *,
    number: int | None,
    every: bool,
    follow: bool,
    timestamps: bool,
    raw: bool = False,
    part: Mapping[str, str | int] | None = None,
) -> None:
    """Print a log: attempt ``number`` alone, ``every`` attempt, or (neither) the last and with ``follow`` all after.

    ``raw``: to a terminal too, byte for byte. ``part``: only these lines, or this step, of the first attempt.
    """
    with sink_for(sys.stdout, raw=raw) as sink:
        progress = QueueProgress(api, interactive=sys.stderr.isatty())
        follower = Follower(api, job_id, sink, progress, timestamps, part or {})
        _copy(follower, api.job(job_id), number, every=every, follow=follow)


def _copy(follower: Follower, job: Job, number: int | None, *, every: bool, follow: bool) -> None:
    last = job.attempts[-1].number if job.attempts else 1
    if number is not None and number > last and not (follow and not job.status.ended):
        raise CliError(f"Job {job.job_id} has no attempt {number}: the last is {last}. Give a lower --attempt.")
    try:
        if follow:
            _follow(follower, number, 1 if every else last)
            return
        for attempt in _chosen(job, number, last, every=every):
            if every and len(job.attempts) > 1:
                note(f"Attempt {attempt} of {last}")
            follower.copy_stored(attempt)
    finally:
        follower.progress.clear()


def _follow(follower: Follower, number: int | None, first: int) -> None:
    if number is None:
        note(outcome(follower.follow(first)))
    else:
        follower.follow(number, last=number)


def _chosen(job: Job, number: int | None, last: int, *, every: bool) -> list[int]:
    if every:
        return [attempt.number for attempt in job.attempts] or [1]
    return [last if number is None else number]
