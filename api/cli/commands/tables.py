"""How jobs and dead letters look to people, and what to do next about each."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from api.cli.client.http import ApiClient
from api.cli.client.progress import describe
from api.cli.commands.common import tell_more
from api.cli.commands.log_end import print_log_end
from api.cli.output import Column, age, clock, print_fields, print_json, print_table, say, size, span
from api.jobs.advice import ADVICE
from api.wording import counted
from workflows.contracts.fields import in_brief
from workflows.contracts.jobs import Attempt, Job, JobSummary, RetryPolicy, Step, StepResult
from workflows.contracts.statuses import JobStatus
from workflows.contracts.workspace.inputs import InputFiles

_SHORT_ID: Final = 8


def show_page(
    page: Mapping[str, Any], print_rows: Callable[[list[JobSummary]], None], *, as_json: bool, everything: bool
) -> None:
    """A page of jobs as the API gave it: JSON for programs, rows and a word about further ones for people."""
    if as_json:
        print_json(page["items"] if everything else page)
        return
    print_rows([JobSummary.model_validate(item) for item in page["items"]])
    tell_more(page, "jobs", always=False)


def show_record(record: Any, api: ApiClient, *, as_json: bool) -> None:
    """One job as the API gave it."""
    if as_json:
        print_json(record)
    else:
        print_job(Job.model_validate(record), api, waits_for=record.get("waits_for"))


def print_jobs(jobs: Sequence[JobSummary]) -> None:
    """A list of jobs."""
    if not jobs:
        say("No jobs.")
        return
    columns = (
        Column("JOB", key=True), Column("STATUS", keep=True), Column("TYPE", rank=1), Column("REPOSITORY"),
        Column("COMMIT", rank=4), Column("POOL", rank=2), Column("AGENT", rank=3),
        Column("EXIT", right=True, keep=True), Column("TOOK", right=True, keep=True), Column("CREATED", keep=True),
    )  # fmt: skip
    print_table(columns, [_job_row(job) for job in jobs])


def print_dead_letters(jobs: Sequence[JobSummary]) -> None:
    """A list of dead letters: what died, when and of what."""
    if not jobs:
        say("No dead letters.")
        return
    columns = (
        Column("JOB", key=True), Column("CAUSE", keep=True), Column("EXIT", right=True, keep=True),
        Column("TRIES", right=True, rank=2), Column("TYPE", rank=1), Column("POOL", rank=3),
        Column("REPOSITORY", rank=4), Column("PARKED", keep=True),
        Column("ERROR"),
    )  # fmt: skip
    rows = [
        (
            job.job_id[:_SHORT_ID], job.cause, job.exit_code, job.attempt_count, job.job_type, job.pool,
            short_repo(job.git_repo), age(job.completed_at or job.created_at), _first_line(job.error_message),
        )
        for job in jobs
    ]  # fmt: skip
    print_table(columns, rows)


def print_job(job: Job, api: ApiClient, *, waits_for: str | None = None) -> None:
    """Everything about one job. ``waits_for``: why no agent takes it, as the API says."""
    print_fields(
        [
            ("Job", job.job_id),
            ("Status", f"{job.status} (flaky: an earlier attempt failed)" if job.flaky else job.status),
            ("State", describe(job)),
            ("Waiting", waits_for),
            ("Type", job.job_type),
            ("Repository", job.git_repo),
            ("Commit", f"{job.git_commit_sha[:12]} {f'({job.git_ref}) ' if job.git_ref else ''}by {job.git_author}"),
            ("Message", _first_line(job.git_commit_message)),
            ("Pool", f"{job.pool}, priority {job.priority}"),
            ("Requires", ", ".join(job.requires) or None),
            ("Inputs", "\n".join(map(_input, job.inputs)) or None),
            ("Timeout", f"{span(job.timeout_seconds)} for each attempt"),
            ("If lost", "goes on behind its last finished step, on the same agent" if job.resume else None),
            ("Tries", _tries(job.retry)),
            ("Environment", "\n".join(f"{name}={_first_line(value) or ''}" for name, value in job.env.items()) or None),
            ("Secrets", ", ".join(job.secrets) or None),
            ("Created", _moment(job.created_at)),
            ("Started", _moment(job.started_at)),
            ("Ended", _moment(job.completed_at)),
            ("Next try", _moment(job.next_attempt_at) if not job.status.ended else None),
            ("Exit code", job.exit_code),
            ("Labels", ", ".join(f"{key}={value}" for key, value in job.labels.items()) or None),
            ("Tags", ", ".join(job.tags) or None),
            ("Retry of", job.retry_of),
            ("Log", _removed(job.logs_removed_at)),
            ("Artifacts", _removed(job.artifacts_removed_at) or _kept_until(job.artifacts_expire_at)),
        ]
    )
    _print_steps(job)
    if job.attempts:
        say()
        _print_attempts(job.attempts)
        for attempt in job.attempts:
            if attempt.log_cut_off is not None:
                say(f"Log of attempt {attempt.number}: {attempt.log_cut_off}")
            if attempt.resumed is not None:
                say(f"Attempt {attempt.number}: {attempt.resumed}")
    _print_said(job)
    print_log_end(job, api)
    say("\nNext")
    for line in next_steps(job, api):
        say(f"  {line}")


def _input(wanted: InputFiles) -> str:
    whose = f"job {wanted.job}" + (f" (the newest of {wanted.branch} then)" if wanted.branch else "")
    return f"{', '.join(wanted.artifacts)} of {whose}" + (f" in {wanted.path}/" if wanted.path else "")


def _tries(retry: RetryPolicy) -> str:
    """Its budgets and pauses, as they can be changed."""
    said = (
        f"{retry.max_attempts} for failing commands, {retry.checkout_attempts} for checkouts, "
        f"{retry.timeout_attempts} for timeouts, {retry.lost_agent_attempts} for lost agents"
    )
    if retry.max_attempts > 1:
        longest = span(retry.max_interval_seconds)
        said += f"; pauses from {span(retry.initial_interval_seconds)}, times {retry.backoff:g}, up to {longest}"
    for name, codes in (("only after", retry.retryable_exit_codes), ("never after", retry.final_exit_codes)):
        said += f"; {name} exit code {', '.join(map(str, codes))}" if codes else ""
    return said if retry.park else f"{said}; then failed, and not parked"


def _removed(at: int | None) -> str | None:
    return None if at is None else f"removed by policy on {_moment(at)}"


def _kept_until(at: int | None) -> str | None:
    return None if at is None else f"kept until {_moment(at)}"


def next_steps(job: Job, api: ApiClient) -> list[str]:
    """What a person can do now, most useful first."""
    last = job.attempts[-1] if job.attempts else None
    cause = job.cause or (last.cause if last else None)
    lines = [ADVICE[cause]] if job.status is not JobStatus.SUCCESS and cause is not None and cause in ADVICE else []
    logs = f"See its log: `{api.command(f'job logs {job.job_id}')}`"
    match job.status:
        case JobStatus.PENDING | JobStatus.QUEUED | JobStatus.RUNNING:
            lines += [
                f"Follow it: `{api.command(f'job logs -f {job.job_id}')}`",
                f"Stop it: `{api.command(f'job cancel {job.job_id}')}`",
            ]
        case JobStatus.DEAD_LETTERED:
            lines += [
                logs,
                f"Run it again as it is: `{api.command(f'dlq redrive {job.job_id}')}`",
                f"Change it first: `{api.command(f'dlq edit {job.job_id} --timeout 2h --run COMMAND')}`",
                f"Give it up: `{api.command(f'dlq discard {job.job_id} --reason …')}`",
            ]
        case JobStatus.SUCCESS:
            lines += [logs] if job.logs_removed_at is None else []
            if last is not None and last.artifacts and job.artifacts_removed_at is None:
                lines.append(f"Its artifacts: `{api.command(f'job artifacts {job.job_id}')}`")
        case _:
            lines += [logs] if job.logs_removed_at is None else []
            lines += [f"Run it again: `{api.command(f'job retry {job.job_id}')}`"]
    return lines


def short_repo(url: str) -> str:
    """The last two parts of a repository's path, as people read them."""
    parts = [unquote(part) for part in url.replace(":", "/").removesuffix(".git").split("/") if part]
    return "/".join(parts[-2:])


def _job_row(job: JobSummary) -> tuple[object, ...]:
    status = f"{job.status} (flaky)" if job.flaky else job.status
    return (
        job.job_id[:_SHORT_ID], status, job.job_type, short_repo(job.git_repo), job.git_commit_sha[:10], job.pool,
        job.agent_id, job.exit_code, span(job.duration_seconds), age(job.created_at),
    )  # fmt: skip


def _print_said(job: Job) -> None:
    """What the steps of the last attempt say themselves."""
    last = job.attempts[-1] if job.attempts else None
    if last is not None and last.outputs:
        say("\nOutputs")
        for name, text in sorted(last.outputs.items()):
            first, *more = text.splitlines() or [""]
            rest = f" … ({counted(len(more), 'more line')})" if more else ""
            say(f"  {name}={first}{rest}")
    if last is not None and last.summary:
        say("\nSummary")
        for line in last.summary.splitlines():
            say(f"  {line}")


def _print_steps(job: Job) -> None:
    """With how each ended in the last attempt that ran."""
    if not job.steps:
        return
    last = next((attempt.steps for attempt in reversed(job.attempts) if attempt.steps), list[StepResult]())
    columns = (
        Column("STEP", right=True, keep=True), Column("NAME", keep=True), Column("STATE", keep=True),
        Column("EXIT", right=True, keep=True), Column("TOOK", right=True, keep=True), Column("RUNS", rank=1),
    )  # fmt: skip
    results = [*last, *[None] * len(job.steps)]
    say()
    print_table(columns, [_step_row(*each) for each in zip(itertools.count(1), job.steps, results, strict=False)])


def _step_row(number: int, step: Step, result: StepResult | None) -> tuple[object, ...]:
    state = "-" if result is None else result.outcome or "did not run"
    state = f"{state} before" if result is not None and result.resumed else state
    took = None if result is None else _between(result.started_at, result.finished_at)
    code = None if result is None else result.exit_code
    return number, in_brief(step.name), state, code, took, _first_line(step.run) if step.run != step.name else None


def _print_attempts(attempts: Sequence[Attempt]) -> None:
    columns = (
        Column("ATTEMPT", key=True, right=True), Column("OUTCOME", keep=True), Column("EXIT", right=True, keep=True),
        Column("CAUSE"), Column("AGENT"), Column("WAITED", right=True, rank=2), Column("TOOK", right=True, keep=True),
        Column("LOG", right=True, rank=3), Column("WHY", rank=1),
    )  # fmt: skip
    print_table(columns, [_attempt_row(attempt) for attempt in attempts])


def _attempt_row(attempt: Attempt) -> tuple[object, ...]:
    begun = attempt.claimed_at or attempt.started_at
    running = "running" if begun is not None else "queued"
    return (
        attempt.number, attempt.outcome or running, attempt.exit_code, attempt.cause, attempt.agent_id,
        _between(attempt.queued_at, begun), _between(begun, attempt.finished_at), size(attempt.log_bytes),
        _first_line(attempt.message),
    )  # fmt: skip


def _between(start: int | None, end: int | None) -> str:
    return span(None if start is None or end is None else max(end - start, 0) / 1000)


def _moment(then: int | None) -> str | None:
    return None if then is None else f"{clock(then)} ({age(then)})"


def _first_line(text: str | None) -> str | None:
    lines = text.strip().splitlines() if text else []
    return lines[0] if lines else None
