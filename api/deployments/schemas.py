"""Deployments as callers send and see them: the record without its internals, and what may be asked of one.

A command's model is the contract's without its signature, which the server fills in (``api.auth.origin.signed``).
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, StrictBool, StringConstraints, create_model, model_validator

from api.http.times import add_times
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.commands import Comment
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest, Version
from workflows.contracts.deployments.environments import PerhapsWhy, Why
from workflows.contracts.deployments.metrics import MAX_IN_ONE_REPORT, MetricName, MetricValue, Source
from workflows.contracts.deployments.rules import Positive
from workflows.contracts.deployments.services import EnvironmentName
from workflows.contracts.fields import CommitSha, Line, Person
from workflows.contracts.sealed import SignedApproval

_INTERNAL: Final = frozenset({"closed_in", "reopened_in", "fingerprint", "sequence", "parties"})
MAX_MILLIS: Final = 253_402_300_799_000
"""The last moment of the year 9999."""
JobReference = Annotated[Line, StringConstraints(min_length=1, max_length=256)]

_public: dict[str, Any] = {
    name: (field.annotation, field) for name, field in Deployment.model_fields.items() if name not in _INTERNAL
}
DeploymentOut: Final[type[BaseModel]] = create_model("DeploymentOut", __doc__="The record of a deployment.", **_public)
"""For the documentation only: derived from ``Deployment`` so that the two cannot drift apart."""

EXAMPLE_DEPLOYMENT: Final[dict[str, Any]] = {
    "service_name": "checkout",
    "version": "1.4.2",
    "git_commit_sha": "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736",
    "git_author": "ann@example.com",
}


class OnPurpose(Frozen):
    """Why it is done all the same."""

    reason: Why


class StartRequest(DeploymentRequest):
    """What is to be deployed. Going back on purpose, and lifting a ban, is for who may roll back."""

    allow_older: OnPurpose | None = Field(
        default=None,
        exclude_if=lambda purpose: purpose is None,
        description="Why its commit may be older than what is live or ahead.",
    )
    lift_ban: OnPurpose | None = Field(
        default=None, exclude_if=lambda purpose: purpose is None, description="Why its ban is lifted, if it is banned."
    )

    def asked(self) -> DeploymentRequest:
        """What the deployment keeps of it."""
        return DeploymentRequest(**{name: getattr(self, name) for name in DeploymentRequest.model_fields})


class SignedBody(Frozen):
    """``by``: for whom an admin acts, on one's own machine only. It is told, and never counts as theirs."""

    by: Person | None = Field(
        default=None,
        description="For whom an admin acts; told as `<admin> for <by>`, never counted as theirs. Only where"
        " HYBRIDCI_ALLOW_SELF_APPROVAL is set, as `hybridci up` does.",
    )


class ApproveRequest(SignedBody):
    """Yes to this version in the environment that waits for it. What is given must match."""

    comment: Comment = ""
    environment: EnvironmentName | None = None
    version: Version | None = None
    git_commit_sha: CommitSha | None = None
    signed: SignedApproval | None = Field(default=None, description="For agents that check approvals themselves.")


class RejectRequest(SignedBody):
    """No: ends the deployment."""

    reason: Why
    environment: EnvironmentName | None = None


class RollbackRequest(SignedBody):
    """Back to what was live before, or to the named version or commit that was ever live there. ``job_id``: another CI
    has done it already.

    ``ban``: nothing but a person brings the version back that is left. ``lift_ban``: the named version's ban is lifted.
    """

    reason: Why
    to_version: Version | None = None
    to_commit: CommitSha | None = None
    job_id: JobReference | None = None
    ban: StrictBool = Field(default=True, exclude_if=lambda ban: ban)
    lift_ban: StrictBool = Field(default=False, exclude_if=lambda lift: not lift)

    @model_validator(mode="after")
    def _lifts_one(self) -> Self:
        if self.lift_ban and self.to_version is None and self.to_commit is None:
            raise ValueError("lift_ban needs to_version or to_commit, whose ban is lifted")
        return self

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if self.to_version is not None and self.to_commit is not None:
            raise ValueError("to_version and to_commit name one target: give one of them")
        return self


class StatedReasonRequest(SignedBody):
    """Why it is done."""

    reason: Why


class PromoteRequest(SignedBody):
    """Why the rollout goes on now. ``full``: to 100 % without any further pause."""

    reason: Why
    full: StrictBool = False


class CancelDeploymentRequest(SignedBody):
    """Why it is ended."""

    reason: PerhapsWhy = ""


class ReportedStatus(StrEnum):
    """How another CI's job ended."""

    SUCCESS = "success"
    FAILED = "failed"


class RecordStageRequest(SignedBody):
    """What another CI did in an external environment."""

    job_id: JobReference
    status: ReportedStatus = ReportedStatus.SUCCESS
    message: Comment = ""


class MetricsRequest(SignedBody):
    """One sample. ``error_rate`` is a share from 0 to 1; ``at`` (epoch milliseconds) is now when not given, and lies
    within the last 7 days. ``source`` tells reporters of one metric apart; it is the caller when not given.
    """

    at: int | None = Field(default=None, ge=0, le=MAX_MILLIS)
    error_rate: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    latency_ms: Positive | None = None
    requests_per_sec: Positive | None = None
    metrics: dict[MetricName, MetricValue] = Field(
        default_factory=dict[str, float], max_length=MAX_IN_ONE_REPORT, description="Any others, by their names."
    )
    source: Source | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        own = {"error_rate": self.error_rate, "latency_ms": self.latency_ms, "requests_per_sec": self.requests_per_sec}
        said = [name for name, value in own.items() if value is not None]
        if not said and not self.metrics:
            raise ValueError("give at least one of error_rate, latency_ms, requests_per_sec and metrics")
        if twice := [name for name in said if name in self.metrics]:
            raise ValueError(f"{', '.join(twice)} is given twice: as a field and in metrics")
        return self


class MetricsAccepted(Frozen):
    """The sample is kept and compared with the limits of where the deployment stands."""

    deployment_id: str
    accepted: bool = True
    url: str


def deployment_fields(deployment: Deployment) -> dict[str, Any]:
    """The same as ``deployment_json``, as a part of another document, with its times."""
    return add_times(Deployment, deployment.model_dump(mode="json", exclude=set(_INTERNAL)))


def deployment_json(deployment: Deployment) -> bytes:
    """The record as callers see it."""
    return deployment.model_dump_json(exclude=set(_INTERNAL)).encode()
