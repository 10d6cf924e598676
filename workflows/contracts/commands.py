"""What may be asked of a running job: one model in, the job's record out.

Each is the argument of the update of the same name on ``JobWorkflow``; ``attempt_started`` is a signal.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.fields import (
    CommitSha,
    EnvName,
    EnvValue,
    ExitCode,
    GitRef,
    Line,
    Millis,
    Name,
    Prose,
    Text,
    WholeSeconds,
)
from workflows.contracts.identity.proofs import Provable
from workflows.contracts.jobs import Job, JobSpec, RetryPolicy, Step
from workflows.contracts.labels import Requirement
from workflows.contracts.sealed import SpecSignature
from workflows.contracts.statuses import Outcome, Priority
from workflows.contracts.who import Message, Who

Reason = Annotated[Prose, StringConstraints(max_length=1024)]
Reported = Annotated[Text, StringConstraints(max_length=1024)]
"""What a command or another CI said of its failure: any text, since the result counts whatever it says."""
DEAD_LETTER_RETENTION_SECONDS = 14 * 24 * 3600


class JobInput(Tolerant, Provable):
    """The argument of ``JobWorkflow``. ``resume`` is set only by continue-as-new and, with ``odd_answer``, by a
    repair: what an agent answered that no workflow can read, in words; the attempt counts as ended by its agent then.

    ``accepted_at``: when the starter accepted the job (epoch ms); it then creates the record itself, right after the
    start. None: the workflow creates it, before anything else; left out then, for workers that do not know it.
    ``deployment_id``, ``signature``: of a deployment's job, and set by its workflow only. ``delivery_key``: with which
    its agents say that they have an attempt (``identity.delivery``).
    """

    job_id: str
    spec: JobSpec
    created_by: str | None = None
    via: str = "api"
    address: str | None = None
    role: str | None = None
    fingerprint: str | None = None
    retry_of: str | None = None
    deployment_id: str | None = Field(default=None, exclude_if=lambda value: value is None)
    signature: SpecSignature | None = Field(default=None, exclude_if=lambda value: value is None)
    delivery_key: str | None = Field(default=None, exclude_if=lambda value: value is None)
    accepted_at: int | None = Field(default=None, exclude_if=lambda value: value is None)
    dead_letter_retention_seconds: int = Field(default=DEAD_LETTER_RETENTION_SECONDS, ge=1)
    resume: Job | None = None
    odd_answer: str | None = Field(default=None, exclude_if=lambda value: value is None)

    def who(self) -> Who:
        """Who submitted it."""
        return Who(by=self.created_by, via=self.via, address=self.address, role=self.role)


class Cancel(Message):
    """Stop the job wherever it is."""

    reason: Reason | None = None


class Amend(Message):
    """Change a job that has not started: its place in line or its pool. Labels and metadata at any time."""

    priority: Priority | None = None
    pool: Name | None = None
    requires: list[Requirement] | None = Field(default=None, max_length=16)
    labels: dict[Line, Line] | None = Field(default=None, max_length=64)
    tags: list[Line] | None = Field(default=None, max_length=64)


class Edit(Message):
    """Change a dead letter before it is redriven. ``env`` is merged; a value of None removes the variable.

    ``max_attempts`` is the number of further tries for a failing command. ``steps`` takes the place of all steps. What
    is not given is left out, for workers that do not know it.
    """

    pool: Name | None = None
    requires: list[Requirement] | None = Field(default=None, max_length=16)
    priority: Priority | None = None
    timeout_seconds: WholeSeconds | None = None
    env: dict[EnvName, EnvValue | None] | None = Field(default=None, max_length=256)
    max_attempts: int | None = Field(default=None, ge=1, le=50)
    retry: RetryPolicy | None = None
    steps: list[Step] | None = Field(default=None, min_length=1, max_length=100, exclude_if=lambda value: value is None)
    git_commit_sha: CommitSha | None = Field(default=None, exclude_if=lambda value: value is None)
    git_ref: GitRef | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def runs_something_else(self) -> bool:
        """True when other commands run with it, or those of another commit."""
        return self.steps is not None or self.git_commit_sha is not None or self.git_ref is not None

    @property
    def may_run_something_else(self) -> bool:
        """The same, or a variable is set: a shell, a loader or git runs what some of them say."""
        return self.runs_something_else or any(value is not None for value in (self.env or {}).values())


class Redrive(Message):
    """Run a dead letter again, with fresh budgets, after the changes of ``edit``."""

    edit: Edit | None = None
    reason: Reason | None = None


class Discard(Message):
    """Give a dead letter up: it gets the final status of its cause."""

    reason: Reason | None = None


class Complete(Message):
    """Record a result that was found outside (another CI, an operator's hand); what still runs is stopped."""

    exit_code: ExitCode
    error_message: Reported | None = None


class DeadLetterFilter(Frozen):
    """Which dead letters a bulk redrive means. All given conditions must hold; none given means all.

    ``service`` is the label of this name; ``since`` and ``until`` bound the time of creation (ms, both included).
    """

    job_ids: list[str] | None = Field(default=None, max_length=1000)
    pool: Name | None = None
    job_type: Line | None = None
    git_repo: Line | None = None
    cause: Line | None = None
    outcome: Outcome | None = None
    service: Line | None = Field(default=None, exclude_if=lambda value: value is None)
    since: Millis | None = Field(default=None, exclude_if=lambda value: value is None)
    until: Millis | None = Field(default=None, exclude_if=lambda value: value is None)


class Canary(Frozen):
    """Redrive ``count`` first; go on only when all of them succeed within ``timeout_seconds``."""

    count: int = Field(default=1, ge=1, le=100)
    timeout_seconds: WholeSeconds = 3600


class BulkRedrive(Message):
    """Redrive many dead letters."""

    filter: DeadLetterFilter = DeadLetterFilter()
    edit: Edit | None = None
    canary: Canary | None = None
    limit: int = Field(default=1000, ge=1, le=10_000)
    reason: Reason | None = None


class BulkRedriveProgress(Frozen):
    """How far a bulk redrive is. ``state``: selecting, canary, redriving, finished, stopped.

    ``fingerprint`` is a digest of the request, to tell a repeated one from another with the same key.
    """

    redrive_id: str
    fingerprint: str | None = None
    state: str
    message: str
    matched: int = 0
    redriven: list[str] = Field(default_factory=list[str])
    refused: dict[str, str] = Field(default_factory=dict[str, str])
    canaries: dict[str, str] = Field(default_factory=dict[str, str])


class ReconcileResult(Tolerant):
    """What a comparison of records with their workflows found: the ids of those that were closed, and created."""

    checked: int
    closed: list[str] = Field(default_factory=list[str])
    created: list[str] = Field(default_factory=list[str])
    requeued: int = 0
