"""What may be asked of a deployment: one model in, its record out.

Each is the argument of the update of the same name on ``DeploymentWorkflow`` and, for people at Temporal's own CLI, of
the signal of the same name: ``{"by": "ann@example.com"}`` is enough for an approval. ``report_metrics`` is only
a signal. Every refusal is InvalidState (not now) or ValidationFailed, says why, and changes nothing.
"""

from typing import Annotated

from pydantic import Field, StrictBool, StringConstraints

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest, LiveAgain, Version
from workflows.contracts.deployments.environments import Why
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
    """

    reason: Why
    to_version: Version | None = None
    to_commit: CommitSha | None = Field(default=None, exclude_if=lambda commit: commit is None)
    job_id: Annotated[Line, StringConstraints(min_length=1, max_length=256)] | None = None


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
    """Signal ``report_metrics``: a sample. ``error_rate`` is a share (0 to 1), ``latency_ms`` in milliseconds."""

    at: Millis | None = None
    error_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    latency_ms: Positive | None = None
    requests_per_sec: Positive | None = None


DeploymentInput.model_rebuild()
