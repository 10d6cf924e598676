"""What may be asked of a deployment: one model in, its record out.

Each is the argument of the update of the same name on ``DeploymentWorkflow`` and, for people at Temporal's own CLI, of
the signal of the same name: ``{"by": "ann@example.com"}`` is enough for an approval. ``report_metrics`` is only
a signal. Every refusal is InvalidState (not now) or ValidationFailed, says why, and changes nothing.
"""

from typing import Annotated

from pydantic import Field, StrictBool, StringConstraints

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentRequest,
    Version,
)
from workflows.contracts.deployments.environments import Why
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.metrics import MAX_IN_ONE_REPORT, MetricName, MetricValue, Source
from workflows.contracts.deployments.rules import Positive
from workflows.contracts.deployments.services import EnvironmentName, Service
from workflows.contracts.fields import CommitSha, Line, Millis, Prose
from workflows.contracts.identity.people import Parties, Vouched
from workflows.contracts.identity.proofs import Provable
from workflows.contracts.sealed import SignedApproval
from workflows.contracts.who import Named, Who

Comment = Annotated[Prose, StringConstraints(max_length=4096)]


class DeploymentInput(Tolerant, Provable):
    """The argument of ``DeploymentWorkflow``. ``resume`` is set only by continue-as-new.

    ``live_again``: it is to go on where it is live. Whoever says so, the environment's record alone decides.
    ``parties``: who is behind it, as the API knows; None when it was started without it, or before persons were known.
    ``allow_older``: why its commit may be older than what is live or ahead.
    """

    deployment_id: str
    request: DeploymentRequest
    service: Service
    created_by: str = ""
    via: str = "api"
    address: str | None = None
    role: str | None = None
    key_id: str | None = None
    fingerprint: str | None = None
    parties: Parties | None = None
    allow_older: Why | None = Field(default=None, exclude_if=lambda reason: reason is None)
    resume: "DeploymentResume | None" = None
    live_again: LiveAgain | None = Field(default=None, exclude_if=lambda again: again is None)

    def who(self) -> Who:
        """Who asked for it."""
        return Who(by=self.created_by, via=self.via, address=self.address, role=self.role, key_id=self.key_id)


class DeploymentResume(Tolerant):
    """What one run of the workflow hands to the next. ``progress`` is the workflow's own state, as JSON."""

    deployment: Deployment
    progress: str


class Approve(Named):
    """``approve``: yes to this version in the environment that waits for it. What is given must match.

    ``vouched``: who gives it, as the API knows; what a person types in Temporal's own CLI leaves it out.
    """

    comment: Comment = ""
    environment: EnvironmentName | None = None
    version: Version | None = None
    git_commit_sha: CommitSha | None = None
    signed: SignedApproval | None = None
    vouched: Vouched | None = None


class Reject(Named):
    """``reject``: one no ends the deployment."""

    reason: Why
    environment: EnvironmentName | None = None


class RollbackCommand(Named):
    """``rollback``: to what was live before, or to a version or commit that was ever live. ``job_id``: another CI has
    done it already.

    ``ban``: what it leaves is banned.
    """

    reason: Why
    to_version: Version | None = None
    to_commit: CommitSha | None = Field(default=None, exclude_if=lambda commit: commit is None)
    job_id: Annotated[Line, StringConstraints(min_length=1, max_length=256)] | None = None
    ban: StrictBool = Field(default=True, exclude_if=lambda ban: ban)


class Resume(Named):
    """``resume``: go on where verification could not tell."""

    reason: Why


class Promote(Named):
    """``promote``: go on with the rollout now, past the present pause or freeze; ``full``: to 100 % at once, without
    any further pause. Verification and approvals stay.
    """

    reason: Why
    full: StrictBool = False


class SkipStep(Named):
    """``skip_step``: leave the present pause out; where a freeze or hold stops it, the next percentage."""

    reason: Why


class Abort(Named):
    """``abort``: stop the rollout and bring back what was live; in an environment before the last one, end it."""

    reason: Why


class CancelDeployment(Named):
    """``cancel``: end it. Once something was rolled out into the last environment, this rolls back.

    The API takes at most 1,024 characters; a longer ``reason`` of before, or of Temporal's CLI, is read and cut.
    """

    reason: Prose = ""


class OverrideFreeze(Named):
    """``override_freeze``: wait for no freeze in the environment that comes next; also said in advance."""

    reason: Why


class RecordStage(Named):
    """``record_stage``: what another CI did in an external environment."""

    environment: EnvironmentName
    job_id: Annotated[Line, StringConstraints(min_length=1, max_length=256)]
    succeeded: bool = True
    message: Comment = ""


class ReportMetrics(Who):
    """A sample; also the signal ``report_metrics``, for people at Temporal's own CLI.

    ``error_rate`` is a share (0 to 1), ``latency_ms`` in milliseconds; ``metrics`` are others by their names.
    ``source`` tells reporters of one metric apart; it is whoever reports, when it is not given.
    """

    at: Millis | None = None
    source: Source | None = None
    error_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    latency_ms: Positive | None = None
    requests_per_sec: Positive | None = None
    metrics: dict[MetricName, MetricValue] = Field(default_factory=dict[str, float], max_length=MAX_IN_ONE_REPORT)

    @property
    def values(self) -> dict[str, float]:
        """All metrics by their names."""
        own = {"error_rate": self.error_rate, "latency_ms": self.latency_ms, "requests_per_sec": self.requests_per_sec}
        return {**self.metrics, **{name: value for name, value in own.items() if value is not None}}

    @property
    def row_source(self) -> str:
        """The source of its rows."""
        return self.source or (self.by or "unknown")[:128]


class AskPerson(Who):
    """Signal ``ask_person``: something speaks for a rollback that nothing automatic may make. See ``NeedsDecision``."""

    what: Annotated[Prose, StringConstraints(min_length=1, max_length=1024)]
    why: Annotated[Prose, StringConstraints(min_length=1, max_length=1024)]
    key: Annotated[Line, StringConstraints(max_length=256)] = ""


DeploymentInput.model_rebuild()
