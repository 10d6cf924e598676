"""What a job is: the specification a caller writes, the record everybody reads.

All times are integers: milliseconds since the epoch, UTC. All durations are seconds.
Deliberately not here: how one attempt is run (``attempts``) and what may be asked of a job (``commands``).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Self

from pydantic import Field, StrictBool, StringConstraints, model_validator

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
    ReportedLine,
    Repository,
    ShortLine,
    Text,
    WholeSeconds,
)
from workflows.contracts.identity.people import GitPeople
from workflows.contracts.ids import DEFAULT_POOL
from workflows.contracts.labels import Requirement, contradiction
from workflows.contracts.sealed import SignedApproval, SpecSignature
from workflows.contracts.statuses import JobStatus, OnPartition, Outcome, Priority, QueueStatus
from workflows.contracts.workspace.checkout import AS_USUAL, CheckoutOptions
from workflows.contracts.workspace.features import (
    ARTIFACT_RULES,
    CHECKOUT,
    CHECKOUT_FILTER,
    INPUTS,
    RESUME,
    RESUME_DEPLOYMENTS,
    STEP_RULES,
    with_features,
    without_features,
)
from workflows.contracts.workspace.globs import NO_RULES, ArtifactGlobs, ArtifactRules, leaves_out, with_rules_apart
from workflows.contracts.workspace.inputs import InputFiles, Inputs
from workflows.contracts.workspace.resume import ResumeAt
from workflows.contracts.workspace.step_rules import Background, CancelRules, When

SERVICE_LABEL: Final = "service"
"""The label by which a job belongs to a service; a deployment's jobs have it."""
MAX_SPEC_BYTES: Final = 256 * 1024
"""A job's specification travels in workflow history and in one DynamoDB item (400 KB), so it is bounded well below."""


MAX_REQUIREMENTS: Final = 20
ARTIFACTS: Final = (
    "Files to keep: globs, `{a,b}` for either, `!x` for what is left out. Or a map with `paths`, "
    "`if_none` and `expires`."
)


class Step(Frozen):
    """One command. Steps run in order, in the same workspace; the first that fails ends the attempt."""

    name: Annotated[ShortLine, StringConstraints(min_length=1)]
    run: Annotated[Text, StringConstraints(min_length=1, max_length=64 * 1024)]
    shell: Annotated[Line, StringConstraints(min_length=1, max_length=256)] | None = Field(
        default=None, description="The command line that is given the script's path; default `bash -eo pipefail`."
    )
    env: dict[EnvName, EnvValue] = Field(default_factory=dict[str, str], max_length=256)
    timeout_seconds: WholeSeconds | None = None
    continue_on_error: StrictBool = False
    when: When = Field(
        default=When.SUCCESS,
        exclude_if=lambda when: when is When.SUCCESS,
        description="`failure` and `always` run also after a failure, a timeout or a cancel, for 300 s together.",
    )
    background: Background = Field(
        default=Background.END,
        exclude_if=lambda background: background is Background.END,
        description="`keep`: processes that it leaves run until the job ends.",
    )


class RetryPolicy(Frozen):
    """Budgets by cause (attempts, the first one included) and the backoff between attempts.

    Only a failing command and a checkout wait for the backoff; a lost agent's attempt goes on elsewhere at once.
    """

    max_attempts: int = Field(default=3, ge=1, le=50, description="For failing commands.")
    lost_agent_attempts: int = Field(default=5, ge=1, le=50, description="For agents that stopped answering.")
    checkout_attempts: int = Field(default=3, ge=1, le=50, description="For repositories that did not answer.")
    timeout_attempts: int = Field(default=1, ge=1, le=50, description="For attempts that ran too long.")
    initial_interval_seconds: float = Field(default=1, ge=0, le=86_400, allow_inf_nan=False)
    backoff: float = Field(default=2, ge=1, le=10, allow_inf_nan=False)
    max_interval_seconds: float = Field(default=300, ge=0, le=86_400, allow_inf_nan=False)
    retryable_exit_codes: list[ExitCode] = Field(
        default_factory=list[int], max_length=256, description="When not empty, only these exit codes are retried."
    )
    final_exit_codes: list[ExitCode] = Field(
        default_factory=list[int], max_length=256, description="Never retried and never parked: the job is `failed`."
    )
    park: StrictBool = Field(default=True, description="Park the job as a dead letter when its budget is used up.")

    @model_validator(mode="after")
    def _codes_do_not_overlap(self) -> Self:
        both = sorted(set(self.retryable_exit_codes) & set(self.final_exit_codes))
        if both:
            raise ValueError(f"exit codes {both} are named as retryable and as final")
        return self


class Fence(Frozen):
    """A turn's number. An agent refuses an attempt whose number is lower than one it has seen for the same name, so
    that a job that was thought dead cannot act after its successor.
    """

    name: Annotated[ShortLine, StringConstraints(min_length=1)]
    number: int = Field(ge=0, le=2**53)


class JobSpec(Frozen):
    """What a caller asks for. ``POST /api/dashboard/jobs`` takes exactly this."""

    job_type: Annotated[ShortLine, StringConstraints(min_length=1, max_length=64)]
    git_repo: Repository
    git_commit_sha: CommitSha
    git_author: Annotated[ShortLine, StringConstraints(min_length=1)]
    git_ref: GitRef | None = None
    git_commit_message: Annotated[Prose, StringConstraints(max_length=8192)] | None = None
    pool: Name = DEFAULT_POOL
    priority: Priority = Priority.NORMAL
    steps: list[Step] = Field(default_factory=list[Step], max_length=100)
    env: dict[EnvName, EnvValue] = Field(default_factory=dict[str, str], max_length=256)
    secrets: list[EnvName] = Field(default_factory=list[str], max_length=100, description="Names only, never values.")
    labels: dict[ShortLine, ShortLine] = Field(default_factory=dict[str, str], max_length=64)
    tags: list[ShortLine] = Field(default_factory=list[str], max_length=64)
    metadata: dict[ShortLine, Any] = Field(default_factory=dict[str, Any], max_length=64)
    checkout: CheckoutOptions = Field(default=AS_USUAL, exclude_if=lambda options: options == AS_USUAL)
    artifacts: ArtifactGlobs = Field(default_factory=list[str], description=ARTIFACTS)
    artifact_rules: ArtifactRules = Field(default=NO_RULES, exclude_if=lambda rules: rules == NO_RULES)
    timeout_seconds: WholeSeconds = Field(default=3600, description="For each attempt, checkout included.")
    retry: RetryPolicy = RetryPolicy()
    on_partition: OnPartition = OnPartition.STOP
    fence: Fence | None = None
    requires: list[Requirement] = Field(
        default_factory=list[str],
        max_length=MAX_REQUIREMENTS,
        validate_default=True,
        description="Labels of the agent: `os=linux`, `gpu=*`, `!spot`. Those of features that the job uses are added.",
    )
    approvals: list[SignedApproval] = Field(
        default_factory=list[SignedApproval], max_length=20, description="What an agent that asks for them checks."
    )
    on_ref: GitRef | None = Field(
        default=None, exclude_if=lambda ref: ref is None, description="Set by deployments: the commit must be on it."
    )
    expand: StrictBool = Field(
        default=False,
        exclude_if=lambda expand: not expand,
        description="`$NAME` in values of `env` is what the step sees as NAME; never in secrets' or events'.",
    )
    cancel: CancelRules | None = Field(default=None, exclude_if=lambda cancel: cancel is None)
    resume: ResumeAt | None = Field(
        default=None,
        exclude_if=lambda resume: resume is None,
        description="`step`: after the loss of its agent it goes on behind its last finished step, on the same host.",
    )
    inputs: Inputs = Field(
        default_factory=list[InputFiles],
        exclude_if=lambda inputs: not inputs,
        description="Artifacts of other jobs that are in the workspace before the first step.",
    )

    @model_validator(mode="before")
    @classmethod
    def _artifacts_as_a_map(cls, fields: object) -> object:
        return with_rules_apart(fields)

    @model_validator(mode="after")
    def _satisfiable(self) -> Self:
        if (why := contradiction(self.requires)) is not None:
            raise ValueError(f"requires: no agent can meet this: {why}")
        return self

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        try:
            size = len(JobSpec.__pydantic_serializer__.to_json(self))
        except ValueError as error:
            raise ValueError(f"metadata is not JSON: {error}") from None
        if size > MAX_SPEC_BYTES:
            raise ValueError(f"the job is {size} bytes long; at most {MAX_SPEC_BYTES} are allowed")
        return self


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CutOff = Annotated[ReportedLine, StringConstraints(max_length=512)]
LogOffset = Annotated[int, Field(ge=0, le=2**53)]


class StepResult(Tolerant):
    """How one step ended. ``exit_code`` is None for a step that never started. ``log_start`` to ``log_end``: where its
    part of the attempt's log is, in bytes. ``resumed``: an earlier attempt ran it, at these times, and not this one.
    """

    name: str
    outcome: Outcome | None = None
    exit_code: int | None = None
    started_at: Millis | None = None
    finished_at: Millis | None = None
    log_start: LogOffset | None = Field(default=None, exclude_if=lambda value: value is None)
    log_end: LogOffset | None = Field(default=None, exclude_if=lambda value: value is None)
    resumed: bool = Field(default=False, exclude_if=lambda value: not value)


class ArtifactRef(Tolerant):
    """A file an attempt left behind. ``size`` in bytes. ``executable``: its owner may run it."""

    path: str
    size: int
    sha256: str
    executable: bool = Field(default=False, exclude_if=lambda value: not value)


class Attempt(Tolerant):
    """One try, kept for good: who ran it, when, how it ended and why. ``log_…``: as its agent reported it. ``resumed``:
    where it began, of a job that may resume, and why.
    """

    number: int
    agent_id: str | None = None
    pool: str = DEFAULT_POOL
    queued_at: Millis
    claimed_at: Millis | None = None
    started_at: Millis | None = None
    finished_at: Millis | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    cause: str | None = None
    message: str | None = None
    steps: list[StepResult] = Field(default_factory=list[StepResult])
    artifacts: list[ArtifactRef] = Field(default_factory=list[ArtifactRef])
    log_bytes: int | None = None
    git_people: GitPeople | None = Field(default=None, exclude_if=lambda people: people is None)
    log_sha256: str | None = Field(default=None, exclude_if=lambda value: value is None)
    log_cut_off: str | None = Field(default=None, exclude_if=lambda value: value is None)
    log_url: str | None = None
    outputs: dict[str, str] = Field(default_factory=dict[str, str], exclude_if=lambda outputs: not outputs)
    summary: str | None = Field(default=None, exclude_if=lambda summary: summary is None)
    resumed: str | None = Field(default=None, exclude_if=lambda resumed: resumed is None)

    @property
    def reported(self) -> bool:
        """True when its agent said how it ended: the cause of what nobody reported is the outcome's own word."""
        return self.outcome is not None and self.cause != self.outcome


class JobSummary(Tolerant):
    """A job as lists show it: everything but the specification's long parts and the attempts' details.

    ``service`` is its label of this name, by which grants that are limited to services find it.
    """

    job_id: str
    job_type: str
    git_repo: str
    git_commit_sha: str
    git_author: str
    git_ref: str | None = None
    pool: str = DEFAULT_POOL
    priority: Priority = Priority.NORMAL
    requires: list[str] = Field(default_factory=list[str])
    service: str | None = None
    status: JobStatus = JobStatus.PENDING
    queue_status: QueueStatus = QueueStatus.QUEUED
    agent_id: str | None = None
    created_at: Millis
    queued_at: Millis | None = None
    started_at: Millis | None = None
    completed_at: Millis | None = None
    next_attempt_at: Millis | None = None
    exit_code: int | None = None
    duration_seconds: float | None = None
    cause: str | None = None
    error_message: str | None = None
    logs_url: str | None = None
    attempt_count: int = 0
    tags: list[str] = Field(default_factory=list[str])
    flaky: bool = Field(default=False, exclude_if=lambda flaky: not flaky)
    artifacts_expire_at: Millis | None = Field(default=None, exclude_if=lambda value: value is None)


class Job(Tolerant):
    """The record of a job: its specification and all that happened to it.

    ``sequence`` grows with each write of the owning workflow; a store refuses an older or repeated one.
    ``fingerprint`` is a digest of the creating request, to tell a repeated one from another with the same key.
    ``deployment_id``: of the deployment that runs it, which alone moves it; nobody can say it from outside, as a label.
    ``signature``: the control plane's, for agents that run nothing else. ``…_removed_at``: when its logs, its artifacts
    were removed by policy. ``flaky``: it succeeded, and its commands had failed in an earlier attempt of its round.
    ``round`` grows with each redrive, which has budgets of its own; ``round_start``: how many attempts there were
    before it.
    ``artifacts_expire_at``: until when a job that has ended wants its artifacts kept; None also once they are removed.
    """

    job_id: str
    job_type: str
    git_repo: str
    git_commit_sha: str
    git_author: str
    git_ref: str | None = None
    git_commit_message: str | None = None
    pool: str = DEFAULT_POOL
    priority: Priority = Priority.NORMAL
    steps: list[Step] = Field(default_factory=list[Step])
    env: dict[str, str] = Field(default_factory=dict[str, str])
    secrets: list[str] = Field(default_factory=list[str])
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    tags: list[str] = Field(default_factory=list[str])
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    checkout: CheckoutOptions = Field(default=AS_USUAL, exclude_if=lambda options: options == AS_USUAL)
    artifacts: list[str] = Field(default_factory=list[str])
    artifact_rules: ArtifactRules = Field(default=NO_RULES, exclude_if=lambda rules: rules == NO_RULES)
    timeout_seconds: int = 3600
    retry: RetryPolicy = RetryPolicy()
    on_partition: OnPartition = OnPartition.STOP
    fence: Fence | None = None
    requires: list[str] = Field(default_factory=list[str])
    approvals: list[SignedApproval] = Field(default_factory=list[SignedApproval])
    on_ref: str | None = Field(default=None, exclude_if=lambda ref: ref is None)
    expand: bool = Field(default=False, exclude_if=lambda expand: not expand)
    cancel: CancelRules | None = Field(default=None, exclude_if=lambda cancel: cancel is None)
    resume: ResumeAt | None = Field(default=None, exclude_if=lambda resume: resume is None)
    inputs: list[InputFiles] = Field(default_factory=list[InputFiles], exclude_if=lambda inputs: not inputs)

    status: JobStatus = JobStatus.PENDING
    queue_status: QueueStatus = QueueStatus.QUEUED
    agent_id: str | None = None
    created_at: Millis
    queued_at: Millis | None = None
    started_at: Millis | None = None
    completed_at: Millis | None = None
    next_attempt_at: Millis | None = None
    lease_expires_at: Millis | None = None
    exit_code: int | None = None
    duration_seconds: float | None = None
    logs_url: str | None = None
    cause: str | None = None
    error_message: str | None = None
    attempts: list[Attempt] = Field(default_factory=list[Attempt])
    retry_of: str | None = None
    created_by: str | None = None
    fingerprint: str | None = None
    deployment_id: str | None = Field(default=None, exclude_if=lambda value: value is None)
    signature: SpecSignature | None = Field(default=None, exclude_if=lambda value: value is None)
    logs_removed_at: Millis | None = Field(default=None, exclude_if=lambda value: value is None)
    artifacts_removed_at: Millis | None = Field(default=None, exclude_if=lambda value: value is None)
    artifacts_expire_at: Millis | None = Field(default=None, exclude_if=lambda value: value is None)
    flaky: bool = Field(default=False, exclude_if=lambda flaky: not flaky)
    round: int = Field(default=1, exclude_if=lambda number: number == 1)
    round_start: int = Field(default=0, exclude_if=lambda count: not count)
    sequence: int = 0

    def attempt_words(self, number: int) -> str:
        """``attempt 2``, or, of one since the last redrive, ``round 2, attempt 1``."""
        if self.round == 1 or number <= self.round_start:
            return f"attempt {number}"
        return f"round {self.round}, attempt {number - self.round_start}"

    def summary(self) -> JobSummary:
        """The short form that lists show."""
        fields = self.model_dump(include=set(JobSummary.model_fields))
        return JobSummary(**fields, service=self.labels.get(SERVICE_LABEL), attempt_count=len(self.attempts))


SPEC_FIELDS: Final = frozenset(JobSpec.model_fields)


def new_job(
    spec: JobSpec,
    *,
    job_id: str,
    now: int,
    created_by: str | None = None,
    fingerprint: str | None = None,
    retry_of: str | None = None,
    deployment_id: str | None = None,
    signature: SpecSignature | None = None,
) -> Job:
    """A fresh record for a specification. ``now`` in epoch milliseconds."""
    fields = {name: getattr(spec, name) for name in SPEC_FIELDS}
    job = Job(
        **fields,
        job_id=job_id,
        created_at=now,
        logs_url=f"/api/dashboard/jobs/{job_id}/logs",
        created_by=created_by,
        fingerprint=fingerprint,
        retry_of=retry_of,
        deployment_id=deployment_id,
        signature=signature,
    )
    return job.model_copy(update={"requires": demanded(job, spec.requires)})


def demanded(job: Job, requires: Sequence[str]) -> list[str]:
    """These demands, with those that follow from what the job uses that agents of an earlier version do not know."""
    used = {
        ARTIFACT_RULES: job.artifact_rules.for_agents() != NO_RULES or leaves_out(job.artifacts),
        CHECKOUT: job.checkout != AS_USUAL,
        INPUTS: bool(job.inputs),
        RESUME: job.resume is not None,
        RESUME_DEPLOYMENTS: job.resume is not None and job.deployment_id is not None,
        CHECKOUT_FILTER: job.checkout.filter is not None,
        STEP_RULES: job.expand or job.cancel is not None or any(map(_has_rules, job.steps)),
    }
    return with_features(requires, [feature for feature, needed in used.items() if needed])


def _has_rules(step: Step) -> bool:
    return step.when is not When.SUCCESS or step.background is not Background.END


def spec_of(job: Job) -> JobSpec:
    """The specification a record was made from."""
    fields = {name: getattr(job, name) for name in SPEC_FIELDS}
    fields["requires"] = without_features(job.requires)  # they follow from the others
    return JobSpec(**fields)
