"""How a job's record changes: pure functions from one state of the record to the next.

Deliberately not here: when they are applied (``workflow``) and what follows a failure (``retry``). Times: epoch ms.
Agents' clocks may be off, so a time reported by an agent is never taken to lie before the queueing, nor after now.
A record must always fit into its store, or its workflow could not go on: what could make it grow is bounded here.
"""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError
from temporalio.exceptions import ApplicationError

from workflows.contracts.attempts import MAX_REPORTED_ARTIFACTS, AttemptInput, AttemptResult, AttemptStarted
from workflows.contracts.audit.details import Details, JobSubmitted
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.commands import Amend, Edit, JobInput
from workflows.contracts.errors import ErrorCode, field_errors
from workflows.contracts.fields import MAX_TEXT_CHARACTERS, shortened
from workflows.contracts.identity.delivery import attempt_key
from workflows.contracts.identity.proofs import Claim
from workflows.contracts.ids import LEASE_SECONDS
from workflows.contracts.jobs import Attempt, Job, demanded, new_job, spec_of
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus
from workflows.contracts.who import Who
from workflows.contracts.workspace.lost import lost_attempts
from workflows.job.retry import RetryDecision

QUEUE_STATUS = {
    JobStatus.SUCCESS: QueueStatus.COMPLETED,
    JobStatus.FAILED: QueueStatus.FAILED,
    JobStatus.TIMEOUT: QueueStatus.FAILED,
    JobStatus.ERROR: QueueStatus.FAILED,
    JobStatus.CANCELLED: QueueStatus.CANCELLED,
    JobStatus.DEAD_LETTERED: QueueStatus.DEAD_LETTERED,
}
BY_DEPLOYMENT: Final = "deployment "
"""How ``created_by`` of a deployment's jobs begins; its id follows."""
IN_TEMPORAL: Final = "Cancelled in Temporal."
_FIRST_SEQUENCE: Final = 1
DETAILED_ATTEMPTS: Final = 20
"""How many of the last attempts keep their details; a job can be redriven without end."""
_MAX_DETAILS: Final = 128 * 1024
"""Of all attempts together, in characters: the record travels in one message and lies in one item."""
_SHORT_CHARACTERS: Final = 200


def submitted(start: JobInput, now: int) -> Job:
    """What was asked for, not yet in line."""
    return new_job(
        start.spec,
        job_id=start.job_id,
        now=now,
        created_by=start.created_by,
        fingerprint=start.fingerprint,
        retry_of=start.retry_of,
        deployment_id=start.deployment_id,
        signature=start.signature,
    )


def cancelled_in_temporal(start: JobInput, now: int) -> Job:
    """What a parent knows of a job that was cancelled in Temporal, and that it did not stop itself."""
    ended = {"status": JobStatus.CANCELLED, "queue_status": QueueStatus.CANCELLED, "cause": "cancelled"}
    return submitted(start, now).model_copy(update={**ended, "error_message": IN_TEMPORAL, "completed_at": now})


def deployment_of(job: Job) -> str | None:
    """The id of the deployment that runs the job. Records of before 2026-11-30 have it in ``created_by`` only."""
    by = job.created_by or ""
    return job.deployment_id or (by.removeprefix(BY_DEPLOYMENT) if by.startswith(BY_DEPLOYMENT) else None)


def moved_by_its_deployment(job: Job) -> str:
    """Why nobody else moves it, and what to say to the deployment."""
    deployment = deployment_of(job)
    return (
        f"Job {job.job_id} ({job.job_type}) belongs to deployment {deployment}, which alone moves it, inside its turn."
        f" To stop it: `hybridci deploy cancel {deployment}`. To go back: `hybridci deploy rollback {deployment}`."
        " To try again: start the deployment anew."
    )


def submission(start: JobInput, at: int, claim: Claim | None = None) -> AuditEvent:
    """The event of the record's creation. ``claim``: whose word it is who submitted it, unless one's own."""
    repeats = start.retry_of
    said = JobSubmitted(job_type=start.spec.job_type, retry_of=repeats) if repeats else JobSubmitted()
    return event(submitted(start, at), said, "submitted", start.who(), at=at).model_copy(update={"claim": claim})


def creation(start: JobInput, accepted_at: int, claim: Claim | None = None) -> JobWrite:
    """The record's first write by whoever accepted the job: the workflow takes it for granted, and sees to it later."""
    job = queued(submitted(start, accepted_at), accepted_at).model_copy(update={"sequence": _FIRST_SEQUENCE})
    return JobWrite(job=job, events=[submission(start, accepted_at, claim)])


def as_accepted(start: JobInput, started_at: int) -> Job:
    """What a workflow that was started at this time was given, before anything happened to it."""
    if start.resume is not None:
        return start.resume
    if start.accepted_at is not None:
        return creation(start, start.accepted_at).job
    return submitted(start, started_at)


def event(
    job: Job, what: EventType | Details, identity: str, who: Who, *, at: int, reason: str | None = None
) -> AuditEvent:
    """Who did what to the job, for the audit trail. One ``identity`` is one event, however often it is written."""
    event_id = f"{job.job_id}-{identity}"
    return new_event(what, who, event_id=event_id, at=at, job_id=job.job_id, pool=job.pool, reason=reason)


def attempt_input(
    job: Job,
    number: int,
    *,
    avoid_agent: str | None,
    delivery_key: str | None = None,
) -> AttemptInput:
    """What the agent is given. ``delivery_key``: the job's."""
    key = None if delivery_key is None else attempt_key(delivery_key, number)
    fields = {name: getattr(job, name) for name in AttemptInput.model_fields if name in Job.model_fields}
    fields |= {"git_author": job.git_author, "deployment_id": deployment_of(job), "lost": lost_attempts(job)}
    fields["artifact_rules"] = job.artifact_rules.for_agents()
    return AttemptInput(**fields, attempt=number, avoid_agent=avoid_agent, delivery_key=key)


def to_be_signed(start: JobInput) -> AttemptInput:
    """Any attempt of the job, for its signature: what differs from one to the next is not signed."""
    return attempt_input(submitted(start, 0), 1, avoid_agent=None)


def queued(job: Job, now: int) -> Job:
    """A new round begins: first start or redrive."""
    return job.model_copy(
        update={
            "status": JobStatus.QUEUED,
            "queue_status": QueueStatus.QUEUED,
            "queued_at": now,
            "started_at": None,
            "completed_at": None,
            "next_attempt_at": None,
            "lease_expires_at": None,
            "duration_seconds": None,
            "agent_id": None,
        }
    )


def redriven(job: Job, now: int) -> Job:
    """Another round, with budgets of its own."""
    return queued(job, now).model_copy(update={"round": job.round + 1, "round_start": len(job.attempts)})


def due(job: Job, now: int) -> Job:
    """The pause before a retry is over: the wait in the queue begins.

    When it was to end is when it has ended: that time is recorded, and nothing is written now. Should the timer be late
    (its workflow waited for the store before it set it), the workflow must not know another one.
    """
    return job.model_copy(update={"queued_at": job.next_attempt_at or now, "next_attempt_at": None})


def claimed(job: Job, announcement: AttemptStarted, now: int) -> Job:
    """An agent works on the attempt: it checks out (CLAIMED) or runs steps (RUNNING)."""
    queued_at, lapses = job.queued_at or job.created_at, now + LEASE_SECONDS * 1000
    known = next((attempt for attempt in job.attempts if attempt.number == announcement.attempt), None)
    attempt = (known or _new_attempt(job, announcement.attempt, queued_at)).model_copy(
        update={
            "agent_id": announcement.agent_id,
            "claimed_at": _between(queued_at, announcement.claimed_at, now),
            "started_at": _perhaps_between(queued_at, announcement.started_at, now),
        }
    )
    return job.model_copy(
        update={
            "status": JobStatus.RUNNING,
            "queue_status": announcement.phase,
            "agent_id": announcement.agent_id,
            "started_at": job.started_at or attempt.claimed_at,
            "lease_expires_at": _between(now, announcement.lease_expires_at or lapses, lapses),
            "attempts": _with(job.attempts, attempt),
        }
    )


def attempt_ended(job: Job, result: AttemptResult, now: int) -> Job:
    """Keep how the attempt ended. The job's own status follows from the decision."""
    queued_at = job.queued_at or job.created_at
    known = next((attempt for attempt in job.attempts if attempt.number == result.attempt), None)
    base = known or _new_attempt(job, result.attempt, queued_at)
    claimed_at = _between(queued_at, result.claimed_at, now)
    attempt = base.model_copy(
        update={
            "agent_id": result.agent_id or base.agent_id,
            "claimed_at": claimed_at,
            "started_at": _perhaps_between(claimed_at, result.started_at, now),
            "finished_at": _between(claimed_at, result.finished_at, now),
            "outcome": result.outcome,
            "exit_code": result.exit_code,
            "cause": result.cause,
            "message": result.message,
            "steps": result.steps,
            "artifacts": result.artifacts[:MAX_REPORTED_ARTIFACTS],
            "log_bytes": result.log_bytes,
            "git_people": result.git_people,
            "log_sha256": result.log_sha256,
            "log_cut_off": result.log_cut_off,
            "outputs": result.outputs,
            "summary": result.summary,
            "resumed": result.resumed,
        }
    )
    return job.model_copy(
        update={
            "agent_id": attempt.agent_id,
            "started_at": job.started_at or claimed_at,
            "exit_code": result.exit_code,
            "lease_expires_at": None,
            "attempts": _with(job.attempts, attempt),
        }
    )


def retrying(job: Job, decision: RetryDecision, now: int) -> Job:
    """Back into the queue, now or after a pause."""
    at = now + round(decision.delay_seconds * 1000)
    return job.model_copy(
        update={
            "status": JobStatus.QUEUED,
            "queue_status": QueueStatus.QUEUED,
            "queued_at": at,
            "next_attempt_at": at if decision.delay_seconds > 0 else None,
            "cause": job.attempts[-1].cause or job.attempts[-1].outcome,
            "error_message": decision.reason,
        }
    )


def moved(job: Job, result: AttemptResult, now: int) -> Job:
    """Back into the queue because its place in line changed just as an agent had begun; no budget is touched."""
    taken = result.model_copy(update={"cause": "moved", "message": "Taken back: the job's place in line was changed."})
    return queued(attempt_ended(job, taken, now), now)


def parked(job: Job, decision: RetryDecision, now: int) -> Job:
    """A dead letter."""
    return _ended(job, JobStatus.DEAD_LETTERED, _cause(job), decision.reason, now)


def finished(job: Job, status: JobStatus, reason: str | None, now: int, *, cause: str | None = None) -> Job:
    """The final state."""
    expires = job.artifact_rules.expires
    if expires is not None:
        job = job.model_copy(update={"artifacts_expire_at": now + expires * 1000})
    if status is JobStatus.SUCCESS:
        ended = _ended(job, status, None, None, now)
        return ended.model_copy(update={"flaky": True}) if _failed_before(job) else ended
    return _ended(job, status, cause or _cause(job), reason, now)


def _failed_before(job: Job) -> bool:
    """In this round: whoever asked for it may have changed what runs, or what it runs against."""
    in_this_round = job.attempts[job.round_start :]
    return any(attempt.outcome in {Outcome.FAILED, Outcome.TIMED_OUT} for attempt in in_this_round)


def amended(job: Job, change: Amend) -> Job:
    """The job with another place in line or other labels."""
    update = change.model_dump(exclude=set(Who.model_fields), exclude_none=True)
    if change.requires is not None:
        update["requires"] = demanded(job, change.requires)
    return job.model_copy(update=update | {name: getattr(change, name) for name in ("priority",) if name in update})


def edited(job: Job, change: Edit) -> Job:
    """A dead letter with other settings. Raises ApplicationError validation_failed when they make no valid job."""
    env = {name: value for name, value in (job.env | (change.env or {})).items() if value is not None}
    retry = change.retry or job.retry
    if change.max_attempts is not None:
        retry = retry.model_copy(update={"max_attempts": change.max_attempts})
    runs = {name: value for name in ("steps", "git_commit_sha", "git_ref") if (value := getattr(change, name))}
    changed = job.model_copy(update=runs)
    requires = job.requires
    if runs or change.requires is not None:
        requires = demanded(changed, job.requires if change.requires is None else change.requires)
    return _valid(
        changed.model_copy(
            update={
                "pool": change.pool or job.pool,
                "requires": requires,
                "priority": change.priority or job.priority,
                "timeout_seconds": change.timeout_seconds or job.timeout_seconds,
                "env": env,
                "retry": retry,
            }
        )
    )


def bounded(job: Job, most: int = MAX_TEXT_CHARACTERS) -> Job:
    """With texts of at most ``most`` characters, whoever said them: a record that its store refuses tells nobody."""
    texts = {"cause": job.cause, "error_message": job.error_message}
    long = {name: shortened(text, most) for name, text in texts.items() if text is not None and len(text) > most}
    return job.model_copy(update=long) if long else job


def without_details(job: Job, most: int) -> Job:
    """What is still to be kept of a job that its store refuses: its attempts without steps and files, with texts of at
    most ``most`` characters.
    """
    attempts = [
        _short(each).model_copy(
            update={
                "message": None if each.message is None else shortened(each.message, most),
                "cause": None if each.cause is None else shortened(each.cause, most),
            }
        )
        for each in job.attempts
    ]
    return bounded(job, most).model_copy(update={"attempts": attempts})


def lost_result(job: Job, number: int, outcome: Outcome, message: str, now: int) -> AttemptResult:
    """The result of an attempt whose agent can no longer report it."""
    known = next((attempt for attempt in job.attempts if attempt.number == number), None)
    queued_at = job.queued_at or job.created_at
    return AttemptResult(
        attempt=number,
        agent_id=(known and known.agent_id) or "",
        outcome=outcome,
        cause=outcome.value,
        message=message,
        claimed_at=(known and known.claimed_at) or queued_at,
        started_at=known and known.started_at,
        finished_at=now,
    )


def _ended(job: Job, status: JobStatus, cause: str | None, reason: str | None, now: int) -> Job:
    return job.model_copy(
        update={
            "status": status,
            "queue_status": QUEUE_STATUS[status],
            "completed_at": now,
            "duration_seconds": None if job.started_at is None else max(0, now - job.started_at) / 1000,
            "next_attempt_at": None,
            "lease_expires_at": None,
            "cause": cause,
            "error_message": reason,
        }
    )


def _cause(job: Job) -> str | None:
    return (job.attempts[-1].cause or job.attempts[-1].outcome) if job.attempts else job.cause


def _new_attempt(job: Job, number: int, queued_at: int) -> Attempt:
    url = f"/api/dashboard/jobs/{job.job_id}/logs?attempt={number}"
    return Attempt(number=number, pool=job.pool, queued_at=queued_at, log_url=url)


def _with(attempts: Sequence[Attempt], attempt: Attempt) -> list[Attempt]:
    others = [other for other in attempts if other.number != attempt.number]
    kept, details = [attempt], _details(attempt)
    for other in reversed(others):
        details += _details(other)
        kept.append(other if len(kept) < DETAILED_ATTEMPTS and details <= _MAX_DETAILS else _short(other))
    return kept[::-1]


def _details(attempt: Attempt) -> int:
    """About how many characters they take."""
    said = sum(len(name) + len(text) + 10 for name, text in attempt.outputs.items()) + len(attempt.summary or "")
    files = sum(len(each.path) + 100 for each in attempt.artifacts)
    return sum(len(step.name) + 100 for step in attempt.steps) + files + said


_NO_DETAILS: Final[dict[str, Any]] = {"steps": [], "artifacts": [], "git_people": None, "outputs": {}, "summary": None}


def _short(attempt: Attempt) -> Attempt:
    long = attempt.message is not None and len(attempt.message) > _SHORT_CHARACTERS
    said = attempt.outputs or attempt.summary is not None
    if not (attempt.steps or attempt.artifacts or attempt.git_people or said or long):
        return attempt
    message = None if attempt.message is None else shortened(attempt.message, _SHORT_CHARACTERS)
    return attempt.model_copy(update={**_NO_DETAILS, "message": message})


def _between(earliest: int, time: int, latest: int) -> int:
    return max(earliest, min(time, latest))


def _perhaps_between(earliest: int, time: int | None, latest: int) -> int | None:
    return None if time is None else _between(earliest, time, latest)


def _valid(job: Job) -> Job:
    """The job, when it could also have been submitted as it is now: each change fits, but their sum may not."""
    try:
        spec_of(job)
    except ValidationError as error:
        found = [each.model_dump() for each in field_errors(error, nameless="edit")]
        raise ApplicationError(
            "The edit was not made: the job would not be valid with it.",
            {"errors": found},
            type=ErrorCode.VALIDATION_FAILED,
            non_retryable=True,
        ) from None
    return job
