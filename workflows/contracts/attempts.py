"""The contract between the control plane and an agent for one attempt.

The agent gets an ``AttemptInput`` as a Temporal activity on its pool's queue, announces ``AttemptStarted`` over HTTP
within a second, and answers with an ``AttemptResult``. Whatever happens inside the attempt is a result; an exception
means that the agent could not tell. Times are epoch milliseconds.
"""

import json
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis, Text
from workflows.contracts.identity.people import GitPeople
from workflows.contracts.ids import LEASE_SECONDS
from workflows.contracts.jobs import ArtifactRef, CutOff, Fence, Sha256, Step, StepResult
from workflows.contracts.sealed import SignedApproval, SpecSignature
from workflows.contracts.statuses import OnPartition, Outcome, QueueStatus
from workflows.contracts.workspace.checkout import AS_USUAL, CheckoutOptions
from workflows.contracts.workspace.globs import NO_RULES, ArtifactRules
from workflows.contracts.workspace.inputs import InputFiles
from workflows.contracts.workspace.resume import LostAttempts, ResumeAt
from workflows.contracts.workspace.step_rules import CancelRules

CANCEL_GRACE_SECONDS: Final = 10
"""From the interrupt to the kill of a process group (the value Buildkite's agent uses)."""
MAX_LOG_BYTES: Final = 1 << 30
MAX_CHUNK_BYTES: Final = 1 << 20
MAX_ARTIFACT_BYTES: Final = 1 << 30
MAX_BUNDLE_BYTES: Final = 16 << 20
MAX_BUNDLED_FILES: Final = 1000
"""Of one bundle: many small files that are sent and kept together."""
NOT_ON_REF: Final = "commit_not_on_ref"
"""The cause of an attempt whose commit is not on the branch on which it has to be."""
MAX_OUTPUT_BYTES: Final = 64 * 1024
"""Of all outputs of an attempt together, in UTF-8, and of its summary."""
MAX_OUTPUTS: Final = 100
MAX_REPORTED_ARTIFACTS: Final = 100
"""How many files a result and a record name: thousands would not fit into them. The artifact store lists all."""
OutputName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]


def _fits(texts: dict[str, str]) -> dict[str, str]:
    if sum(len(text.encode(errors="replace")) for text in texts.values()) > MAX_OUTPUT_BYTES:
        raise ValueError(f"at most {MAX_OUTPUT_BYTES} bytes of outputs")
    return texts


Outputs = Annotated[dict[OutputName, Text], Field(max_length=MAX_OUTPUTS), AfterValidator(_fits)]
Summary = Annotated[Text, StringConstraints(max_length=MAX_OUTPUT_BYTES)]
AgentId = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class AttemptInput(Tolerant):
    """All an agent needs to run one attempt.

    ``deployment_id``: of the deployment that asked for it, which holds the fence; ``signature``: the control plane's
    word that it did. Neither is ever a caller's. ``delivery_key``: with what is delivered for it, it says whose it is.
    ``lost``: of a job that may resume, what came directly before.
    """

    job_id: str
    attempt: int
    job_type: str
    pool: str
    git_repo: str
    git_commit_sha: str
    git_ref: str | None = None
    git_author: str = ""
    steps: list[Step] = Field(default_factory=list[Step])
    env: dict[str, str] = Field(default_factory=dict[str, str])
    secrets: list[str] = Field(default_factory=list[str])
    checkout: CheckoutOptions = Field(default=AS_USUAL, exclude_if=lambda options: options == AS_USUAL)
    artifacts: list[str] = Field(default_factory=list[str])
    artifact_rules: ArtifactRules = Field(default=NO_RULES, exclude_if=lambda rules: rules == NO_RULES)
    timeout_seconds: int
    on_partition: OnPartition = OnPartition.STOP
    lease_seconds: int = LEASE_SECONDS
    avoid_agent: str | None = None
    fence: Fence | None = None
    requires: list[str] = Field(default_factory=list[str])
    approvals: list[SignedApproval] = Field(default_factory=list[SignedApproval])
    on_ref: str | None = Field(default=None, exclude_if=lambda ref: ref is None)
    deployment_id: str | None = Field(default=None, exclude_if=lambda value: value is None)
    signature: SpecSignature | None = Field(default=None, exclude_if=lambda value: value is None)
    delivery_key: str | None = Field(default=None, exclude_if=lambda value: value is None)
    expand: bool = Field(default=False, exclude_if=lambda expand: not expand)
    cancel: CancelRules | None = Field(default=None, exclude_if=lambda cancel: cancel is None)
    resume: ResumeAt | None = Field(default=None, exclude_if=lambda resume: resume is None)
    lost: LostAttempts | None = Field(default=None, exclude_if=lambda lost: lost is None)
    inputs: list[InputFiles] = Field(default_factory=list[InputFiles], exclude_if=lambda inputs: not inputs)


NOT_SIGNED: Final = frozenset({"attempt", "avoid_agent", "signature", "delivery_key", "lost"})
"""What differs from one attempt of a job to the next. All else is signed, a field that is new tomorrow too."""


def signed_bytes(attempt: AttemptInput, signature: SpecSignature) -> bytes:
    """What the control plane signs: every field but NOT_SIGNED, with what the signature says itself.

    JSON with sorted keys and no spaces, under a name of its own. A field with its default is left out, so that an
    agent and a control plane of two versions agree on a job that does not use what only one of them knows.
    """
    fields = {
        "specification": attempt.model_dump(mode="json", exclude=set(NOT_SIGNED), exclude_defaults=True),
        "signed": signature.model_dump(mode="json", exclude={"key_id", "signature"}),
    }
    return b"hybridci-specification-v1\n" + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


class AttemptStarted(Tolerant):
    """An agent's announcement. ``phase`` RUNNING: it works on it (checks out, then runs steps); CLAIMED: not yet."""

    attempt: int
    agent_id: AgentId
    phase: Literal[QueueStatus.CLAIMED, QueueStatus.RUNNING] = QueueStatus.RUNNING
    claimed_at: Millis
    started_at: Millis | None = None
    lease_expires_at: Millis | None = None


class AttemptResult(Tolerant):
    """How the attempt ended.

    ``cause`` is a short code for programs (``exit_code``, ``signal``, ``repository_unreachable``, ``unknown_commit``,
    ``repository_auth``, ``repository_certificate``, ``repository_proxy``, ``ref_gone``, ``commit_not_on_ref``,
    ``step_timeout``, ``job_timeout``, ``secret_unavailable``, ``secret_too_weak``, ``sealed_value_unreadable``,
    ``approval_unverified``, ``specification_unverified``, ``artifact_contains_secret``, ``artifact_upload``,
    ``artifacts_missing``, ``inputs_missing``, ``inputs_unreachable``, ``hook_failed``, ``fenced``, …),
    ``message`` a sentence for people. ``retryable`` False says that another try cannot help (an unknown commit).
    ``artifacts`` are the first MAX_REPORTED_ARTIFACTS files, by path. ``log_sha256`` is of the whole log of
    ``log_bytes`` bytes; ``log_cut_off`` says why it ends before its output does, when it does. ``outputs`` and
    ``summary``: what its steps say, masked. ``git_people``: whom the commit names, when a deployment asked for the
    attempt. ``resumed``: where it began, of a job that may resume, and why.
    """

    attempt: int
    agent_id: str
    outcome: Outcome
    exit_code: int | None = None
    cause: str | None = None
    message: str | None = None
    retryable: bool = True
    claimed_at: Millis
    started_at: Millis | None = None
    finished_at: Millis
    steps: list[StepResult] = Field(default_factory=list[StepResult])
    artifacts: list[ArtifactRef] = Field(default_factory=list[ArtifactRef])
    log_bytes: int = 0
    git_people: GitPeople | None = Field(default=None, exclude_if=lambda people: people is None)
    log_sha256: Sha256 | None = Field(default=None, exclude_if=lambda value: value is None)
    log_cut_off: CutOff | None = Field(default=None, exclude_if=lambda value: value is None)
    outputs: Outputs = Field(default_factory=dict[str, str], exclude_if=lambda outputs: not outputs)
    summary: Summary | None = Field(default=None, exclude_if=lambda summary: summary is None)
    resumed: CutOff | None = Field(default=None, exclude_if=lambda resumed: resumed is None)
