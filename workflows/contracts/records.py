"""What workflows ask the control worker to write, and what readers get back: pages, statistics, summaries."""

from typing import Final, Generic, TypeVar

from pydantic import Field, computed_field

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.base import Tolerant
from workflows.contracts.commands import BulkRedrive, DeadLetterFilter, Edit
from workflows.contracts.fields import Millis
from workflows.contracts.identity.proofs import Claim
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.statuses import JobStatus, QueueStatus

T = TypeVar("T")

MOST_FILTER_LABELS: Final = 4
"""By so many labels jobs can be found: each costs an item of every job that has it."""


class JobWrite(Tolerant):
    """One ordered write of a job's record.

    ``previous`` is the queue status that the workflow wrote last (None for the first write), so that the counters
    can be moved in the same transaction without a read. ``events`` are kept in that transaction too. ``creation`` are
    those of the record's creation, when another process was to create it: kept here should it not have done so.
    ``claim``: whose word the record is, when a workflow was given it from outside.
    """

    job: Job
    previous: QueueStatus | None = None
    events: list[AuditEvent] = Field(default_factory=list[AuditEvent])
    creation: list[AuditEvent] = Field(default_factory=list[AuditEvent])
    claim: Claim | None = Field(default=None, exclude_if=lambda claim: claim is None)


class JobQuery(Tolerant):
    """Which jobs a list shows: those of which all this holds.

    ``job_id`` and ``commit`` are beginnings or the whole; ``since`` and ``until`` bound the time of creation (ms, both
    included). ``repository`` is any of its addresses, ``branch`` with or without ``refs/heads/``, ``author`` anybody as
    a commit names them, ``service`` the label of this name; ``labels`` are those that the settings allow.
    """

    status: JobStatus | None = None
    agent_id: str | None = None
    pool: str | None = None
    job_type: str | None = None
    repository: str | None = None
    branch: str | None = None
    commit: str | None = None
    service: str | None = None
    author: str | None = None
    cause: str | None = None
    job_id: str | None = None
    since: Millis | None = None
    until: Millis | None = None
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None


class Page(Tolerant, Generic[T]):
    """One page of a list, newest first; ``next_cursor`` is None on the last.

    ``stopped_early``: it is short because so much was looked at as one page may; there can be more. ``looked_at``: how
    many that was, where filters drop some.
    """

    items: list[T]
    next_cursor: str | None = None
    stopped_early: bool = False
    looked_at: int | None = Field(default=None, exclude_if=lambda value: value is None)


JobPage = Page[JobSummary]


class QueueStats(Tolerant):
    """The queue in numbers, since the beginning: also of jobs that were removed by policy, in their last state.

    Of jobs: all up to ``total``, ``jobs_failed`` (failed for good or parked), ``job_failure_rate`` (of the jobs that
    ended; ``failure_rate`` is the same, by its earlier name) and ``jobs_flaky``, which passed after an attempt had
    failed. Of attempts, of which a job has one or more: ``attempts_ended``, ``attempts_failed``,
    ``attempt_failure_rate``.
    Flaky jobs and attempts that ended before they were counted are not in it. Times in seconds; None where nothing was
    measured yet.

    p95 comes from a histogram: it is the upper edge of the bucket that holds the 95th percentile.
    """

    depth: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    dead_lettered: int = 0
    total: int = 0
    avg_wait_seconds: float | None = None
    p95_wait_seconds: float | None = None
    avg_execution_seconds: float | None = None
    p95_execution_seconds: float | None = None
    failure_rate: float | None = None
    jobs_failed: int = 0
    jobs_flaky: int = 0
    job_failure_rate: float | None = None
    attempts_ended: int = 0
    attempts_failed: int = 0
    attempt_failure_rate: float | None = None

    @computed_field
    @property
    def queued(self) -> int:
        """``depth``, by the name that clients of the first API knew."""
        return self.depth


class HourStats(Tolerant):
    """One hour (UTC) that began ``at``. Times in seconds, None where nothing ended. Counts are of jobs, not attempts.

    ``failed`` has the dead letters too. ``open``: how many jobs waited or ran at its end, or now; ``opened``: how many
    more than at its begin. Waits are those of the attempts that ended a job in this hour; a percentile is the upper
    edge of its bucket in a histogram.
    """

    at: Millis
    created: int = 0
    completed: int = 0
    failed: int = 0
    opened: int = 0
    open: int | None = None
    p50_wait_seconds: float | None = None
    p95_wait_seconds: float | None = None


class QueueHistory(Tolerant):
    """The queue by the hour, oldest first, the present hour last. Hours of before they were counted are not there."""

    items: list[HourStats]


class DayStats(Tolerant):
    """What ended on one day (UTC), and in its hours."""

    day: str
    created: int = 0
    completed: int = 0
    failed: int = 0
    hours: list[HourStats] = Field(default_factory=list[HourStats])


class SelectDeadLetters(Tolerant):
    """Which dead letters to redrive, oldest first, at most ``limit``."""

    filter: DeadLetterFilter
    limit: int


class RedriveJobs(Tolerant):
    """Redrive these, one update each, at most once for each ``redrive_id``. ``claim``: whose word it is who asked."""

    job_ids: list[str]
    redrive_id: str | None = None
    edit: Edit | None = None
    reason: str | None = None
    by: str | None = None
    via: str = "temporal"
    address: str | None = None
    role: str | None = None
    key_id: str | None = None
    claim: Claim | None = None


class RedriveJobsResult(Tolerant):
    """``refused`` maps a job id to the reason; ``of_deployments`` of these are left to their deployments."""

    redriven: list[str] = Field(default_factory=list[str])
    refused: dict[str, str] = Field(default_factory=dict[str, str])
    of_deployments: int = 0


class AwaitJobs(Tolerant):
    """Wait until each of these has ended (final or parked)."""

    job_ids: list[str]


class RedriveInput(Tolerant):
    """The argument of ``RedriveWorkflow``."""

    redrive_id: str
    request: BulkRedrive
    fingerprint: str | None = None
