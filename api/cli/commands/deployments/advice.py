"""Why a deployment failed and what a person can do now: the job, its log's end, and commands to copy.

Deliberately not here: the rest of what `deploy show` prints (``output``).
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from api.cli.client.connection import CliError
from api.cli.client.http import JOBS, ApiClient, ApiRefused
from api.cli.client.progress import outcome as job_outcome
from api.cli.commands.deployments.view import waits_for_approval
from api.cli.output import say
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, RollbackStatus, StageStatus
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.ids import is_uuid
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus

_MESSAGE_LINES: Final = 15
_LOG_LINES: Final = 12
_LOG_BYTES: Final = 8192
_LOOKED_AT: Final = 3
"""A stage's last jobs: its rollout, its health check and its verification."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Where it went wrong (a job before the environments, one of those, a rollback), and the job to look at, if any."""

    part: str
    job: Job | None


def find_failure(deployment: Deployment, api: ApiClient) -> Failure | None:
    """What went wrong, None when nothing did. Raises CliError."""
    broken = _broken_part(deployment)
    if broken is None:
        return None
    part, job_ids = broken
    for job_id in reversed(job_ids[-_LOOKED_AT:]):
        job = _job(api, job_id)
        if job is not None and job.status.ended and job.status is not JobStatus.SUCCESS:
            return Failure(part, job)
    return Failure(part, None)


def print_failure(deployment: Deployment, failure: Failure, api: ApiClient, *, message: bool = True) -> None:
    """Why it failed: where, cause, message (if wanted), job, the command for its log, and the log's end."""
    say(f"\nWhy ({failure.part})")
    if deployment.cause not in (None, deployment.status):
        say(f"  Cause: {deployment.cause}")
    error = deployment.error_message or ""
    for line in _last_lines(api.reachable(error), _MESSAGE_LINES) if message else ():
        say(f"  {line}")
    job = failure.job
    if job is None:
        return
    agent = f" on {job.agent_id}" if job.agent_id else ""
    # The deployment's message mostly quotes the job's.
    said = job.error_message is not None and job.error_message.rstrip(".") in error
    code = f", exit code {job.exit_code}" if job.exit_code is not None else ""
    say(f"  Job {job.job_id}{agent}: {f'{job.status}{code}' if said else job_outcome(job)}")
    say(f"  Its log: `{api.command(f'job logs {job.job_id}')}`; it ends with:")
    for line in _log_end(api, job):
        say(f"    {line}")


def next_steps(deployment: Deployment, api: ApiClient, environment: EnvironmentState | None = None) -> list[str]:
    """What a person can do now, most useful first."""
    identity = deployment.deployment_id
    rollback_failed = deployment.rollback is not None and deployment.rollback.status is RollbackStatus.FAILED
    if deployment.status is DeploymentStatus.LIVE:
        lines = [f"Roll back: `{api.command(f'deploy rollback {identity} --reason …')}`"]
    elif not deployment.status.final:
        lines = _on_its_way(deployment, api)
    elif rollback_failed and not deployment.closed:
        lines = _after_failed_rollback(deployment, api)
    else:
        lines = _after_the_end(deployment, api)
    hold = environment.hold if environment is not None else None
    if hold is not None and environment is not None:
        command = api.command(f"deploy release {deployment.service_name} --environment {environment.environment}")
        lines.append(f"Lift the hold, when something may be rolled out there again: `{command}`")
    lines.append(f"Who did what: `{api.command(f'deploy events {identity}')}`")
    return lines


def _on_its_way(deployment: Deployment, api: ApiClient) -> list[str]:
    identity, name = deployment.deployment_id, deployment.environment
    stage = deployment.stage(name) if name else None
    lines: list[str] = []
    if waits_for_approval(deployment):
        lines += [
            f"Approve it: `{api.command(f'deploy approve {identity}')}`",
            f"Reject it: `{api.command(f'deploy reject {identity} --reason …')}`",
        ]
    elif (stage is not None and stage.status is StageStatus.PAUSED) or (stage is None and deployment.waits_for):
        lines.append(f"Go on: `{api.command(f'deploy resume {identity} --reason …')}`")
    elif stage is not None and stage.external and stage.waits_for is not None:
        lines.append(f"Record its result: `{api.command(f'deploy record {identity} {name} --job-id …')}`")
    last = deployment.stages[-1].environment if deployment.stages else None
    if name is not None and name == last and stage is not None and stage.started_at is not None:
        lines.append(f"Roll back: `{api.command(f'deploy rollback {identity} --reason …')}`")
    return [
        *lines,
        f"Follow it: `{api.command(f'deploy watch {identity}')}`",
        f"End it: `{api.command(f'deploy cancel {identity} --reason …')}`",
    ]


def _after_failed_rollback(deployment: Deployment, api: ApiClient) -> list[str]:
    identity = deployment.deployment_id
    where = deployment.rollback.environment if deployment.rollback is not None else deployment.environment
    return [
        f"NOBODY KNOWS WHAT RUNS IN {str(where).upper()}: look there first.",
        f"Roll back again: `{api.command(f'deploy rollback {identity} --reason …')}` (--to-version for another)",
        f"Repaired by hand: `{api.command(f'deploy rollback {identity} --reason … --job-id NAME-OF-THE-REPAIR')}`",
        f"Give it up: `{api.command(f'deploy cancel {identity} --reason …')}`",
    ]


def _after_the_end(deployment: Deployment, api: ApiClient) -> list[str]:
    service, version, sha = deployment.service_name, deployment.version, deployment.git_commit_sha
    if deployment.status is DeploymentStatus.SUPERSEDED and deployment.superseded_by is not None:
        return [f"See what took its place: `{api.command(f'deploy show {deployment.superseded_by}')}`"]
    again = f"deploy start {service} --version {version} --sha {sha} --author {shlex.quote(deployment.git_author)}"
    lines = [f"Deploy a repaired version: `{api.command(f'deploy start {service} --version …')}`"]
    if deployment.status is DeploymentStatus.FAILED:
        lines.append(f"The same again: `{api.command(again)}`")
    return [*lines, f"What runs now: `{api.command(f'service show {service}')}`"]


def _broken_part(deployment: Deployment) -> tuple[str, Sequence[str]] | None:
    rollback = deployment.rollback
    if rollback is not None and rollback.status is RollbackStatus.FAILED:
        return f"the rollback of {rollback.environment}", rollback.job_ids
    if deployment.status not in (DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK):
        return None
    failed = [stage for stage in deployment.stages if stage.status is StageStatus.FAILED]
    name = rollback.environment if rollback is not None else failed[-1].environment if failed else None
    stage = deployment.stage(name) if name is not None else None
    if stage is not None:
        return stage.environment, stage.job_ids
    early = (
        ("test", deployment.test_job_id),
        ("build", deployment.build_job_id),
        ("definition", deployment.definition_job_id),
        ("source", deployment.source_job_id),
    )
    for part, job_id in early:
        if job_id is not None:
            return part, [job_id]
    return "start", ()


def _job(api: ApiClient, job_id: str) -> Job | None:
    """The job, or None: an external stage's job lives in somebody else's CI."""
    if not is_uuid(job_id):
        return None
    try:
        return api.job(job_id)
    except ApiRefused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None


def _log_end(api: ApiClient, job: Job) -> list[str]:
    """The last lines of the last attempt that left a log; why there are none, instead of them."""
    written = [attempt for attempt in job.attempts if attempt.log_bytes]
    if not written:
        return ["(nothing: it printed nothing)"]
    last = written[-1]
    start = max((last.log_bytes or 0) - _LOG_BYTES, 0)
    try:
        with api.stream(f"{JOBS}/{job.job_id}/logs", {"attempt": last.number, "start": start}) as pieces:
            text = b"".join(pieces).decode("utf-8", "replace")
    except CliError as error:
        return [f"(it cannot be read now: {error.message})"]
    lines = text.splitlines()[1 if start else 0 :]
    return lines[-_LOG_LINES:]


def _last_lines(text: str, count: int) -> list[str]:
    lines = text.strip().splitlines()
    return lines if len(lines) <= count else ["…", *lines[-count:]]
