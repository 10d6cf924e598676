"""What a deployment is: the request, the record that everybody reads, the trail of who did what.

All times are integers: milliseconds since the epoch, UTC. All durations are seconds.
Deliberately not here: what may be asked of a deployment (``commands``), the lock of an environment
(``environments``).
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.metrics import MetricRow
from workflows.contracts.deployments.relations import Relation
from workflows.contracts.deployments.services import ServiceName, ServiceSpec
from workflows.contracts.fields import CommitSha, GitRef, Millis, Prose, ShortLine
from workflows.contracts.identity.people import GitPeople, Parties, Vouched
from workflows.contracts.identity.proofs import Claim
from workflows.contracts.sealed import SignedApproval

Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
MAX_METRIC_SAMPLES: Final = 20
"""How many of the last samples a record keeps."""
MAX_GIT_PEOPLE: Final = 8
"""How many answers of agents a record keeps. Honest ones are all alike; with so many, nobody approves any more."""


class DeploymentStatus(StrEnum):
    """Where a deployment stands. ``staging``/``staged``: in or through an environment before the last one;
    ``production``: on the way into the last one; ``superseded``: another version took its place (live or waiting).
    """

    PENDING = "pending"
    STAGING = "staging"
    STAGED = "staged"
    PRODUCTION = "production"
    LIVE = "live"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        """True when the deployment is neither on its way nor live. A failed rollback is still open: see ``closed``."""
        return self in _FINAL


ON_ITS_WAY: Final = (
    DeploymentStatus.PENDING,
    DeploymentStatus.STAGING,
    DeploymentStatus.STAGED,
    DeploymentStatus.PRODUCTION,
)
ON_ITS_WAY_OR_LIVE: Final = (*ON_ITS_WAY, DeploymentStatus.LIVE)
_FINAL = frozenset({DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK, DeploymentStatus.SUPERSEDED})


class StageStatus(StrEnum):
    """Where a deployment stands in one environment."""

    PENDING = "pending"
    WAITING = "waiting"  # for approvals, its turn, a hold or a freeze to end: see ``waits_for``
    DEPLOYING = "deploying"
    VERIFYING = "verifying"
    PAUSED = "paused"  # verification could not tell: an operator must resume or roll back
    DEPLOYED = "deployed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class Decision(StrEnum):
    """What somebody said about a version entering an environment."""

    APPROVE = "approve"
    REJECT = "reject"


class RollbackStatus(StrEnum):
    """How far a rollback is. FAILED needs an operator; the deployment stays open for the next try."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class DeploymentRequest(Frozen):
    """What a caller asks for. ``POST /api/dashboard/deployments`` takes exactly this."""

    service_name: ServiceName
    version: Version
    git_commit_sha: CommitSha
    git_author: Annotated[ShortLine, StringConstraints(min_length=1)]
    git_ref: GitRef | None = None
    git_commit_message: Annotated[Prose, StringConstraints(max_length=8192)] | None = None
    metadata: dict[ShortLine, ShortLine] = Field(default_factory=dict[str, str], max_length=64)


class Approval(Tolerant):
    """One entry of the approval trail.

    ``counts``: as last judged; ``why`` not, or what is to be known of it. ``void``: why it counts no more whatever else
    holds: what it was given for has changed. ``verified``: the API vouches for who gave it; None for one that was given
    before that was asked, which is kept as it was given. ``self_approval``: whoever started the deployment gave it.
    ``groups``: those of the policy to which the person belongs.
    """

    environment: str
    decision: Decision
    by: str
    at: Millis
    git_commit_sha: str
    comment: str = ""
    signed: SignedApproval | None = None
    vouched: Vouched | None = None
    person: str | None = None
    verified: bool | None = None
    void: str | None = Field(default=None, exclude_if=lambda void: void is None)
    counts: bool = True
    why: str | None = None
    self_approval: bool = False
    groups: list[str] = Field(default_factory=list[str])

    @property
    def marks(self) -> list[str]:
        """What everybody who sees it has to know."""
        told = [self.why] if self.why is not None else []
        told += ["self-approval: whoever started it gave it"] if self.self_approval else []
        told += ["unverified: it or the deployment came straight from Temporal"] if self.verified is False else []
        return told


class MetricSample(Tolerant):
    """What a monitoring system reported. ``breaches`` names the limits that it exceeds."""

    at: Millis
    error_rate: float | None = None
    latency_ms: float | None = None
    requests_per_sec: float | None = None
    by: str = ""
    breaches: list[str] = Field(default_factory=list[str])


class Stage(Tolerant):
    """A deployment in one environment. ``fence`` is the number of its turn: an agent refuses an older one.

    ``waits_for`` says in words what it waits for and which command moves it; None when it waits for nothing.
    ``measured_from``: since then something of the version runs there, so metrics are judged; None until then, and in
    records of before that was kept.
    """

    environment: str
    external: bool = False
    status: StageStatus = StageStatus.PENDING
    waits_for: str | None = None
    fence: int | None = None
    percent: int | None = None
    previous_version: str | None = None
    previous_deployment_id: str | None = Field(default=None, exclude_if=lambda before: before is None)
    job_ids: list[str] = Field(default_factory=list[str])
    started_at: Millis | None = None
    measured_from: Millis | None = Field(default=None, exclude_if=lambda at: at is None)
    approved_at: Millis | None = None
    approval_expires_at: Millis | None = None
    deployed_at: Millis | None = None
    ended_at: Millis | None = None
    error_message: str | None = None


class Timing(Tolerant):
    """When something began and ended; ``ended_at`` None: it has not."""

    started_at: Millis
    ended_at: Millis | None = None


class Rollback(Tolerant):
    """A rollback: to what, why, by whom, how far. ``automatic``: not asked for by a person. ``ban``: it bans what it
    leaves. ``forward``: to what came after this version, or beside it: it was live, and rolled back.
    """

    environment: str
    target_version: str | None = None
    target_deployment_id: str | None = None
    forward: bool = Field(default=False, exclude_if=lambda forward: not forward)
    reason: str
    by: str
    automatic: bool = False
    ban: bool = Field(default=True, exclude_if=lambda ban: ban)
    status: RollbackStatus = RollbackStatus.RUNNING
    requested_at: Millis
    completed_at: Millis | None = None
    job_ids: list[str] = Field(default_factory=list[str])
    error_message: str | None = None


class NeedsDecision(Tolerant):
    """Something speaks for a rollback, and nothing automatic makes it: a person decides. ``what`` was seen, ``why`` it
    is not acted upon; ``key`` is the same for the same thing seen again.
    """

    what: str
    why: str
    by: str = ""
    at: Millis = 0
    key: str = ""


class DeploymentSummary(Tolerant):
    """A deployment as lists show it. ``remarks``: what is to be known of its start and approvals."""

    deployment_id: str
    service_name: str
    version: str
    status: DeploymentStatus
    git_commit_sha: str
    git_author: str
    git_ref: str | None = None
    environment: str | None = None
    waits_for: str | None = None
    cause: str | None = None
    error_message: str | None = None
    remarks: list[str] = Field(default_factory=list[str])
    created_at: Millis
    updated_at: Millis
    live_at: Millis | None = None
    completed_at: Millis | None = None


class Deployment(Tolerant):
    """The record of a deployment.

    ``environment`` is where it stands now. ``closed``: its workflow takes no more commands; ``closed_in`` is the run of
    it that ended so, ``reopened_in`` the one that made it live again: earlier ones write no more. ``cause`` is a short
    code (``build_failed``, ``rejected``, ``approval_expired``,
    ``verification_failed``, ``metrics_breached``, ``rollback_failed``, ``superseded``, ``cancelled``, …),
    ``error_message`` a sentence for people. ``sequence`` grows with each write; ``fingerprint`` is a digest of the
    creating request. ``start_doubt``: why nobody knows who started it; None when the API says so, and for those of
    before that was asked. ``git_people``: whom its commit names, as agents found it in git; more than one only where
    they do not agree. ``timings``: of the jobs before its environments, by phase. ``started_at``: of the first one.
    ``allow_older``: why its commit may be older than what is there. ``relations``: how it stands to what was live or
    ahead where it came. ``metric_rows``: how each row of metrics was last told to be; ``metrics`` and
    ``metric_samples`` are what the workflow itself was sent. ``needs_decision``: a rollback waits for a person's word.
    """

    deployment_id: str
    service_name: str
    service_version: int
    version: str
    git_repo: str
    git_commit_sha: str
    git_author: str
    git_ref: str | None = None
    git_commit_message: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict[str, str])
    definition: ServiceSpec

    status: DeploymentStatus = DeploymentStatus.PENDING
    environment: str | None = None
    waits_for: str | None = None
    source_job_id: str | None = Field(default=None, exclude_if=lambda job_id: job_id is None)
    definition_job_id: str | None = None
    build_job_id: str | None = None
    test_job_id: str | None = None
    timings: dict[str, Timing] = Field(default_factory=dict[str, Timing], exclude_if=lambda timings: not timings)
    stages: list[Stage] = Field(default_factory=list[Stage])
    approvals: list[Approval] = Field(default_factory=list[Approval])
    rollback: Rollback | None = None
    rollbacks: list[Rollback] = Field(default_factory=list[Rollback], description="Earlier tries that failed.")
    metrics: MetricSample | None = None
    metric_samples: list[MetricSample] = Field(default_factory=list[MetricSample])
    metric_rows: list[MetricRow] = Field(default_factory=list[MetricRow], exclude_if=lambda rows: not rows)
    superseded_by: str | None = None
    live_again: LiveAgain | None = Field(default=None, exclude_if=lambda again: again is None)
    needs_decision: NeedsDecision | None = Field(default=None, exclude_if=lambda needed: needed is None)
    created_at: Millis
    updated_at: Millis
    started_at: Millis | None = None
    staged_at: Millis | None = None
    live_at: Millis | None = None
    completed_at: Millis | None = None
    closed: bool = False
    closed_in: str | None = Field(default=None, exclude_if=lambda run_id: run_id is None)
    reopened_in: str | None = Field(default=None, exclude_if=lambda run_id: run_id is None)
    cause: str | None = None
    error_message: str | None = None
    created_by: str = ""
    parties: Parties | None = None
    start_doubt: str | None = Field(default=None, exclude_if=lambda doubt: doubt is None)
    allow_older: str | None = Field(default=None, exclude_if=lambda reason: reason is None)
    relations: list[Relation] = Field(default_factory=list[Relation], exclude_if=lambda relations: not relations)
    git_people: list[GitPeople] = Field(default_factory=list[GitPeople], exclude_if=lambda people: not people)
    fingerprint: str | None = None
    sequence: int = 0

    @property
    def remarks(self) -> list[str]:
        """What is to be known of its start, of the approvals that count, and of its commit's order, in short."""
        given = [each for each in self.approvals if each.counts and each.decision is Decision.APPROVE]
        said = [] if self.start_doubt is None else ["started unverified"]
        said += ["self-approved"] if any(each.self_approval for each in given) else []
        said += ["approved unverified"] if any(each.verified is False for each in given) else []
        return said + list(dict.fromkeys(each.remark for each in self.relations if each.remark is not None))

    def summary(self) -> DeploymentSummary:
        """The short form that lists show."""
        return DeploymentSummary(**{name: getattr(self, name) for name in DeploymentSummary.model_fields})

    def stage(self, environment: str) -> Stage | None:
        """The stage of an environment."""
        return next((stage for stage in self.stages if stage.environment == environment), None)


class DeploymentQuery(Tolerant):
    """Which deployments a list shows, newest first: those of which all this holds. At most one of ``service_name`` and
    ``status`` chooses a list; the rest filters. ``branch`` with or without ``refs/heads/``; ``author`` is anybody as a
    commit names them. ``waits``: only those that say what they wait for.
    """

    service_name: str | None = None
    status: DeploymentStatus | None = None
    branch: str | None = None
    commit: str | None = None
    author: str | None = None
    waits: bool = False
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None


class DeploymentPage(Tolerant):
    """One page of deployments, newest first. ``stopped_early``, ``looked_at``: as of every page (``records.Page``)."""

    items: list[DeploymentSummary]
    next_cursor: str | None = None
    stopped_early: bool = False
    looked_at: int | None = Field(default=None, exclude_if=lambda value: value is None)


class DeploymentStats(Tolerant):
    """All deployments by status, and those created on one day (UTC)."""

    total: int = 0
    by_status: dict[DeploymentStatus, int] = Field(default_factory=dict[DeploymentStatus, int])


class DeploymentWrite(Tolerant):
    """One ordered write of a deployment's record, with the events that belong to it, in one transaction.

    ``previous`` is the status that was written last (None for the first write). ``claim``, with the first write: whose
    word it is who started it.
    """

    deployment: Deployment
    previous: DeploymentStatus | None = None
    claim: Claim | None = Field(default=None, exclude_if=lambda claim: claim is None)
    events: list[AuditEvent] = Field(default_factory=list[AuditEvent])
