"""What events of some types say besides who, what, when and why: one model a shape, named after what happened.

Most types have nothing to add; the others are written only with their model. Reading never asks for one: an event of
another version has what it has.
"""

from typing import Any, ClassVar, Final, Self

from pydantic import BaseModel, Field, field_serializer

from workflows.contracts.access import CredentialKind, Grant
from workflows.contracts.agents import PoolBounds
from workflows.contracts.audit.types import EventType
from workflows.contracts.base import Frozen
from workflows.contracts.commands import Edit
from workflows.contracts.fields import Millis
from workflows.contracts.jobs import RetryPolicy
from workflows.contracts.statuses import JobStatus, Priority


class Details(Frozen):
    """What an event says besides. A field that nobody gave is left out; ``TYPES`` are the events it belongs to."""

    TYPES: ClassVar[tuple[EventType, ...]]

    @property
    def event(self) -> EventType:
        """What happened."""
        return self.TYPES[0]

    @classmethod
    def of(cls, source: BaseModel) -> Self:
        """What the source says of these fields; None, or no such field, says nothing."""
        return cls(**{name: value for name in cls.model_fields if (value := getattr(source, name, None)) is not None})

    def document(self) -> dict[str, Any]:
        """As it is stored."""
        return self.model_dump(mode="json", include=self.model_fields_set)


class JobSubmitted(Details):
    """Only of a job that repeats another."""

    TYPES = (EventType.JOB_SUBMITTED,)
    job_type: str = ""
    retry_of: str = ""


class JobAmended(Details):
    """What was changed."""

    TYPES = (EventType.JOB_AMENDED,)
    priority: Priority | None = None
    pool: str | None = None
    requires: list[str] | None = None
    labels: dict[str, str] | None = None
    tags: list[str] | None = None


class JobCompleted(Details):
    """The result."""

    TYPES = (EventType.JOB_COMPLETED,)
    exit_code: int


class JobEdited(Details):
    """What was changed, but for the environment, which may hold secrets. ``changed``: before → after, a line each."""

    TYPES = (EventType.JOB_EDITED,)
    pool: str | None = None
    requires: list[str] | None = None
    priority: Priority | None = None
    timeout_seconds: int | None = None
    max_attempts: int | None = None
    retry: RetryPolicy | None = None
    changed: list[str] = Field(default_factory=list[str])


class JobRedriven(Details):
    """With which changes. ``changed``: before → after, a line each, with what its steps run."""

    TYPES = (EventType.JOB_REDRIVEN,)
    edit: Edit | None = None
    changed: list[str] = Field(default_factory=list[str])

    @field_serializer("edit")
    def _given(self, edit: Edit | None) -> dict[str, Any] | None:
        return None if edit is None else edit.model_dump(mode="json", exclude_none=True, exclude={"steps"})


class JobsBulkRedriven(Details):
    """By which bulk redrive."""

    TYPES = (EventType.JOBS_BULK_REDRIVEN,)
    redrive_id: str


class JobEnded(Details):
    """How it ended; the attempt with which it did, its agent, and the job's service, if any."""

    TYPES = (EventType.JOB_SUCCEEDED, EventType.JOB_FAILED, EventType.JOB_STOPPED, EventType.JOB_PARKED)
    kind: EventType = Field(exclude=True)
    status: JobStatus
    attempt: int | None
    agent: str | None
    exit_code: int | None
    cause: str | None
    duration_seconds: float | None
    service: str | None = None

    @property
    def event(self) -> EventType:
        """What people call it differs by how it ended."""
        return self.kind


class AttemptBegun(Details):
    """Which attempt of the job, by which agent."""

    TYPES = (EventType.ATTEMPT_STARTED,)
    attempt: int
    agent: str
    service: str | None = None


class AttemptEnded(Details):
    """Which attempt of the job, by which agent, and how it ended."""

    TYPES = (EventType.ATTEMPT_ENDED,)
    attempt: int
    agent: str
    outcome: str = ""
    exit_code: int | None = None
    cause: str | None = None
    service: str | None = None


class MetricRecorded(Details):
    """What the sample says, and the limits that it exceeds."""

    TYPES = (EventType.METRIC_RECORDED,)
    sampled_at: Millis
    error_rate: float | None = None
    latency_ms: float | None = None
    requests_per_sec: float | None = None
    breaches: list[str] = Field(default_factory=list[str])


class DeploymentApproved(Details):
    """Which person gave it; whether the API vouches for that; whether it is of whoever started the deployment."""

    TYPES = (EventType.DEPLOYMENT_APPROVED,)
    person: str | None = None
    verified: bool | None = None
    self_approval: bool = False


class RollbackRequested(Details):
    """To which version, if one was named."""

    TYPES = (EventType.DEPLOYMENT_ROLLBACK_REQUESTED,)
    to_version: str | None = None


class RolloutPromoted(Details):
    """Whether to its end; whether past a freeze."""

    TYPES = (EventType.DEPLOYMENT_PROMOTED,)
    full: bool
    past_a_stop: bool


class RollbackFailed(Details):
    """How bad it is."""

    TYPES = (EventType.DEPLOYMENT_ROLLBACK_FAILED,)
    severity: str


class StageRecorded(Details):
    """The other CI's job, and how it went."""

    TYPES = (EventType.DEPLOYMENT_STAGE_RECORDED,)
    job_id: str
    succeeded: bool


class TurnGranted(Details):
    """The number of the turn."""

    TYPES = (EventType.ENVIRONMENT_GRANTED,)
    fence: int


class VersionReinstated(Details):
    """The number of the turn."""

    TYPES = (EventType.ENVIRONMENT_REINSTATED,)
    fence: int


class YieldAsked(Details):
    """The deployment that wants the environment."""

    TYPES = (EventType.ENVIRONMENT_YIELD_REQUESTED,)
    to: str


class LockFreed(Details):
    """How the holder's workflow ended."""

    TYPES = (EventType.ENVIRONMENT_LOCK_FREED,)
    closed_as: str


class FreezeEnded(Details):
    """Which freeze."""

    TYPES = (EventType.ENVIRONMENT_FREEZE_ENDED,)
    freeze_id: str


class LineStopped(Details):
    """Which one, what it concerns, and until when. ``kind`` says which event it is."""

    TYPES = (EventType.LINE_FROZEN, EventType.LINE_HELD)
    kind: str
    stop_id: str
    scope: dict[str, Any]
    ends_at: Millis | None = None

    @property
    def event(self) -> EventType:
        """A freeze and a hold are two words."""
        return EventType.LINE_HELD if self.kind == "hold" else EventType.LINE_FROZEN


class LineLetGo(Details):
    """Which one, and what it concerned."""

    TYPES = (EventType.LINE_UNFROZEN, EventType.LINE_RELEASED)
    kind: str
    stop_id: str
    scope: dict[str, Any]

    @property
    def event(self) -> EventType:
        """A freeze and a hold are two words."""
        return EventType.LINE_RELEASED if self.kind == "hold" else EventType.LINE_UNFROZEN


class ServiceApplied(Details):
    """The number of the definition."""

    TYPES = (EventType.SERVICE_APPLIED,)
    service_version: int


class ServiceStandingChanged(Details):
    """The number of the record. ``to`` says which event it is."""

    TYPES = (EventType.SERVICE_ARCHIVED, EventType.SERVICE_UNARCHIVED, EventType.SERVICE_DELETED)
    to: str = Field(exclude=True)
    service_version: int

    @property
    def event(self) -> EventType:
        """What people call it differs by what became of it."""
        return {"archived": self.TYPES[0], "in_use": self.TYPES[1]}.get(self.to, self.TYPES[2])


class PolicyChanged(Details):
    """What differs, in words, by field; the number of the definition; who asked, where somebody else agreed."""

    TYPES = (EventType.SERVICE_POLICY_CHANGED,)
    service_version: int
    changes: list[str]
    asked_by: str | None = None


class PolicyChangeRequested(Details):
    """What would differ, and in which version it waits."""

    TYPES = (EventType.SERVICE_POLICY_CHANGE_REQUESTED,)
    service_version: int
    changes: list[str]


class PolicyChangeRejected(Details):
    """What would have differed, who asked for it, and the version without it."""

    TYPES = (EventType.SERVICE_POLICY_CHANGE_REJECTED,)
    service_version: int
    changes: list[str]
    asked_by: str


class PolicyChangeDropped(Details):
    """What would have differed, who asked for it, and the version that took its place."""

    TYPES = (EventType.SERVICE_POLICY_CHANGE_DROPPED,)
    service_version: int
    changes: list[str]
    asked_by: str


class VersionBanned(Details):
    """What is banned, by name, by commit or by both; ``left``: the deployment whose rollback left it."""

    TYPES = (EventType.SERVICE_VERSION_BANNED,)
    banned_version: str | None = None
    git_commit_sha: str | None = None
    left: str | None = None


class VersionUnbanned(Details):
    """What was banned, and by whom."""

    TYPES = (EventType.SERVICE_VERSION_UNBANNED,)
    bans: list[dict[str, Any]]


class AgentRegistered(Details):
    """What is new of it; ``from_pool``: where it was before."""

    TYPES = (EventType.AGENT_REGISTERED,)
    pool: str | None = None
    labels: dict[str, str] | None = None
    capacity: int | None = None
    hostname: str | None = None
    version: str | None = None
    region: str | None = None
    from_pool: str | None = None


class AgentRelabelled(Details):
    """Its labels now and before."""

    TYPES = (EventType.AGENT_RELABELLED,)
    labels: dict[str, str]
    before: dict[str, str]


class AgentUpdated(Details):
    """What is new of it, and what it was before."""

    TYPES = (EventType.AGENT_UPDATED,)
    version: str | None = None
    region: str | None = None
    before: dict[str, str | None]


class AgentPaused(Details):
    """For how long (None: until somebody resumes it), and why."""

    TYPES = (EventType.AGENT_PAUSED,)
    seconds: int | None
    note: str


class PoolScaled(Details):
    """Its bounds now and before."""

    TYPES = (EventType.POOL_SCALED,)
    bounds: PoolBounds
    before: PoolBounds | None


class PoolKeysPinned(Details):
    """The public keys now and before, the one that is used first."""

    TYPES = (EventType.POOL_KEYS_PINNED,)
    keys: list[str]
    before: list[str]


class _CredentialDetails(Details):
    """Which credential, whose, what it allows, until when. ``kind`` says which event it is and is not stored."""

    NAMED: ClassVar[dict[CredentialKind, EventType]]
    kind: CredentialKind = Field(exclude=True)
    credential_id: str
    subject: str
    grants: list[Grant]
    expires_at: Millis | None

    @property
    def event(self) -> EventType:
        """What people call it differs by what it is."""
        return self.NAMED[self.kind]

    @field_serializer("grants")
    def _given(self, grants: list[Grant]) -> list[dict[str, Any]]:
        return [grant.model_dump(mode="json", exclude_none=True) for grant in grants]


class CredentialIssued(_CredentialDetails):
    """A secret was handed out."""

    NAMED: ClassVar[dict[CredentialKind, EventType]] = {
        CredentialKind.KEY: EventType.ACCESS_KEY_ISSUED,
        CredentialKind.AGENT: EventType.ACCESS_AGENT_ISSUED,
        CredentialKind.SESSION: EventType.SESSION_OPENED,
        CredentialKind.TOKEN: EventType.TOKEN_EXCHANGED,
    }
    TYPES = tuple(NAMED.values())
    owner: str | None = None
    machine: bool = False
    maker: str | None = None


class CredentialClaimed(_CredentialDetails):
    """Whose it is from now on."""

    NAMED: ClassVar[dict[CredentialKind, EventType]] = {CredentialKind.KEY: EventType.ACCESS_KEY_CLAIMED}
    TYPES = tuple(NAMED.values())
    owner: str
    machine: bool


class CredentialRotated(_CredentialDetails):
    """Only keys are: the others are renewed by signing in or registering again."""

    NAMED: ClassVar[dict[CredentialKind, EventType]] = {CredentialKind.KEY: EventType.ACCESS_KEY_ROTATED}
    TYPES = tuple(NAMED.values())
    replaced_by: str


class CredentialRevoked(_CredentialDetails):
    """``revoked_at``: when it ends."""

    NAMED: ClassVar[dict[CredentialKind, EventType]] = {
        CredentialKind.KEY: EventType.ACCESS_KEY_REVOKED,
        CredentialKind.AGENT: EventType.ACCESS_AGENT_REVOKED,
        CredentialKind.SESSION: EventType.SESSION_CLOSED,
        CredentialKind.TOKEN: EventType.TOKEN_CLOSED,
    }
    TYPES = tuple(NAMED.values())
    revoked_at: Millis


class AddressAdded(Details):
    """Which key, whose, and from where."""

    TYPES = (EventType.ACCESS_ADDRESS_ADDED,)
    credential_id: str
    subject: str
    network: str


class WebhookTold(Details):
    """By whom, what, and what came of it. ``kind`` says which event it is and is not stored."""

    TYPES = (EventType.WEBHOOK_RECEIVED, EventType.WEBHOOK_IGNORED, EventType.WEBHOOK_REFUSED)
    kind: EventType = Field(exclude=True)
    provider: str
    told: str | None = None
    delivery: str | None = None
    rule: str | None = None
    ids: list[str] = Field(default_factory=list[str])

    @property
    def event(self) -> EventType:
        """What people call it differs by what came of it."""
        return self.kind


class WebhookReplayed(Details):
    """Of whom and what it was, under which id it is kept. ``again``: what has ended was to be started once more."""

    TYPES = (EventType.WEBHOOK_REPLAYED,)
    provider: str
    told: str | None = None
    delivery: str | None = None
    kept_as: str
    again: bool = False


class ConfigKnown(Details):
    """Its digest (SHA-256), that of the one before, and how much it says. ``kind`` is not stored."""

    TYPES = (EventType.CONFIG_INSTALLED, EventType.CONFIG_UPDATED)
    kind: EventType = Field(exclude=True)
    name: str
    digest: str
    before: str | None = None

    @property
    def event(self) -> EventType:
        """The first one, or another one."""
        return self.kind


class WorkflowStuck(Details):
    """Which workflow, and why."""

    TYPES = (EventType.WORKFLOW_STUCK,)
    workflow_id: str
    run_id: str
    type: str
    cause: str
    failure: str


class TaskAsked(Details):
    """The question, whole: what was read of which repository."""

    TYPES = (EventType.TASK_ASKED,)
    task_id: str
    question: dict[str, Any]


class WorkflowRecovered(Details):
    """Which workflow."""

    TYPES = (EventType.WORKFLOW_RECOVERED,)
    workflow_id: str
    type: str


class WorkflowRepaired(Details):
    """What became of it; ``resets``: how many tasks it was taken back."""

    TYPES = (EventType.WORKFLOW_REPAIRED,)
    workflow_id: str
    outcome: str
    resets: int


class StorageSwept(Details):
    """How many of each kind, how many bytes of logs and artifacts; the ages by which they went, in seconds."""

    TYPES = (EventType.STORAGE_SWEPT,)
    removed: dict[str, int]
    size: int
    ages: dict[str, int | None]
    live_versions: int


_ALL: Final = (
    JobSubmitted, JobAmended, JobCompleted, JobEdited, JobRedriven, JobsBulkRedriven,
    JobEnded, AttemptBegun, AttemptEnded, MetricRecorded, AgentUpdated, AddressAdded,
    WebhookTold, WebhookReplayed, ConfigKnown,
    DeploymentApproved, RollbackRequested, RollbackFailed, RolloutPromoted, StageRecorded, LineStopped, LineLetGo,
    TurnGranted, VersionReinstated, YieldAsked, LockFreed, FreezeEnded,
    ServiceApplied, ServiceStandingChanged, PolicyChanged, PolicyChangeRequested, PolicyChangeRejected,
    PolicyChangeDropped, VersionBanned, VersionUnbanned,
    AgentRegistered, AgentRelabelled, AgentPaused, PoolScaled, PoolKeysPinned, TaskAsked,
    CredentialIssued, CredentialClaimed, CredentialRotated, CredentialRevoked,
    WorkflowStuck, WorkflowRecovered, WorkflowRepaired, StorageSwept,
)  # fmt: skip
WITH_DETAILS: Final[dict[EventType, type[Details]]] = {event: details for details in _ALL for event in details.TYPES}
"""The types that are written with a model."""
