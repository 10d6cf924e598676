"""How a job looks in the Temporal UI: search attributes, static and current words. Pure.

Deliberately not here: deciding anything.
"""

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from workflows.closing import Closing
from workflows.contracts import search_attributes as attributes
from workflows.contracts.commands import JobInput
from workflows.contracts.fields import in_brief
from workflows.contracts.jobs import Attempt, Job, JobSpec
from workflows.contracts.statuses import JobStatus, QueueStatus
from workflows.dashboard import job_links
from workflows.words import details, quoted, titled


def job_search_attributes(spec: JobSpec) -> TypedSearchAttributes:
    """What a new job can be found by."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(attributes.STATUS, JobStatus.QUEUED.value),
            SearchAttributePair(attributes.JOB_TYPE, spec.job_type),
            SearchAttributePair(attributes.POOL, spec.pool),
            SearchAttributePair(attributes.PRIORITY, spec.priority.value),
            SearchAttributePair(attributes.REPO, spec.git_repo[:255]),
            SearchAttributePair(attributes.SHA, spec.git_commit_sha),
        ]
    )


def job_static_summary(spec: JobSpec) -> str:
    """One line: what runs, of which repository and commit."""
    name = spec.git_repo.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
    return titled(f"{spec.job_type} · {name} @ {spec.git_commit_sha[:8]} · {spec.priority} · pool {spec.pool}")


def job_static_details(job: JobInput, dashboard: str | None = None) -> str:
    """Markdown: where to look, the steps and whence they come. ``dashboard``: its address."""
    spec = job.spec
    steps = "\n".join(f"1. **{quoted(step.name)}** {quoted(in_brief(step.run, 120))}" for step in spec.steps[:20])
    paragraphs = [
        *job_links(dashboard, job.job_id),
        f"Repository {quoted(spec.git_repo)}, commit `{spec.git_commit_sha}` by {quoted(spec.git_author)}.",
        steps or "No steps: checkout only.",
        *([f"Retry of {quoted(job.retry_of)}."] if job.retry_of else []),
    ]
    return details("\n\n".join(paragraphs))


def attempt_summary(job: Job, number: int) -> str:
    """The pool activity's line in the event list."""
    steps = ", ".join(in_brief(step.name) for step in job.steps[:3]) or "checkout"
    return titled(f"attempt {number} on pool {job.pool}: {steps}{' …' if len(job.steps) > 3 else ''}")


def record_summary(job: Job) -> str:
    """The record activity's line in the event list."""
    return titled(f"record: {job.status} ({job.queue_status})")


def current_details(job: Job) -> str:
    """Markdown: where the job stands, why, and what moves it."""
    paragraphs = [f"**{job.status}** — {_words(job)}"]
    if job.attempts:
        paragraphs.append("\n".join(_attempt_line(attempt) for attempt in job.attempts[-8:]))
    if job.status is JobStatus.DEAD_LETTERED:
        paragraphs += ["What you can do:", _ways_out(job.job_id)]
    return details("\n\n".join(paragraphs))


def _ways_out(job_id: str) -> str:
    return (
        f"- look: `hybridci job logs {job_id}`\n"
        f"- change it: `hybridci dlq edit {job_id} --timeout 1200 --env NAME=value`\n"
        f"- run it again: `hybridci dlq redrive {job_id}`\n"
        f"- give it up: `hybridci dlq discard {job_id}`"
    )


def first_line(job: Job) -> str:
    """The same in a line of plain text, as the failure of a job that failed has it."""
    return f"{job.status}: {job.error_message or job.cause or 'no reason given'}"


def closing(job: Job) -> Closing:
    """How its workflow closes. A dead letter's closes only once it is given up."""
    if job.status is JobStatus.CANCELLED:
        return Closing.CANCELLED
    return Closing.COMPLETED if job.status is JobStatus.SUCCESS else Closing.FAILED


def _words(job: Job) -> str:
    if job.status is JobStatus.QUEUED and job.next_attempt_at is not None:
        return f"attempt {len(job.attempts) + 1} follows after a pause: {quoted(job.error_message or job.cause or '')}"
    if job.status is JobStatus.QUEUED:
        labels = f" with {quoted(', '.join(job.requires))}" if job.requires else ""
        return f"waits for an agent of pool `{job.pool}`{labels} at priority {job.priority}"
    if job.status is JobStatus.RUNNING:
        doing = "has claimed it" if job.queue_status is QueueStatus.CLAIMED else "works on it"
        return f"agent {quoted(str(job.agent_id))} {doing}"
    if job.status is JobStatus.DEAD_LETTERED:
        return f"parked: {quoted(job.error_message or job.cause or 'its attempts are used up')}"
    return quoted(job.error_message or "") or "finished"


def _attempt_line(attempt: Attempt) -> str:
    agent = f" on {quoted(attempt.agent_id)}" if attempt.agent_id else ""
    code = f", exit code {attempt.exit_code}" if attempt.exit_code is not None else ""
    reason = f": {quoted(attempt.message)}" if attempt.message else ""
    return f"- attempt {attempt.number}{agent}: {attempt.outcome or 'in progress'}{code}{reason}"
