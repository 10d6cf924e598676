"""Deployments as callers send and see them: the record without its internals, and what may be asked of one.

A command's model is the contract's without its signature, which the server fills in (``api.auth.origin.signed``).
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, StrictBool, StringConstraints, create_model, model_validator

from workflows.contracts.base import Frozen
from workflows.contracts.deployments.commands import Comment
from workflows.contracts.deployments.deployment import Deployment, Version
from workflows.contracts.deployments.environments import PerhapsWhy, Why
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
    """

    reason: Why
    to_version: Version | None = None
    to_commit: CommitSha | None = None
    job_id: JobReference | None = None

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if self.to_version is not None and self.to_commit is not None:
            raise ValueError("to_version and to_commit name one target: give one of them")
        return self


class ReasonRequest(SignedBody):
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
    """One sample. ``error_rate`` is a share from 0 to 1; ``at`` (epoch milliseconds) is now when not given."""

    at: int | None = Field(default=None, ge=0, le=MAX_MILLIS)
    error_rate: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    latency_ms: Positive | None = None
    requests_per_sec: Positive | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.error_rate is None and self.latency_ms is None and self.requests_per_sec is None:
            raise ValueError("give at least one of error_rate, latency_ms and requests_per_sec")
        return self


class MetricsAccepted(Frozen):
    """The sample was handed to the deployment, which compares it with the limits of where it stands."""

    deployment_id: str
    accepted: bool = True
    url: str


def deployment_fields(deployment: Deployment) -> dict[str, Any]:
    """The same as ``deployment_json``, as a part of another document."""
    return deployment.model_dump(mode="json", exclude=set(_INTERNAL))


def deployment_json(deployment: Deployment) -> bytes:
    """The record as callers see it."""
    return deployment.model_dump_json(exclude=set(_INTERNAL)).encode()
