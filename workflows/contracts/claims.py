"""The contract of agents that speak HTTP only: claim, start, heartbeat, complete.

A claim is a poll of the pool's task queue; ``lease_token`` is the task token, bound to the agent that claimed. Whoever
shows a token whose lease has lapsed is refused with 409. Times are epoch milliseconds.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from workflows.contracts.agents import MAX_AGENT_LABELS, AgentName
from workflows.contracts.attempts import MAX_LOG_BYTES, AttemptInput
from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.commands import Reported
from workflows.contracts.fields import ExitCode, Millis, Name
from workflows.contracts.ids import DEFAULT_POOL
from workflows.contracts.jobs import Sha256
from workflows.contracts.labels import LabelKey, LabelValue
from workflows.contracts.statuses import Outcome

LeaseToken = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,4096}$")]


class ClaimRequest(Frozen):
    """``POST /api/queue/claim``. 404 ``no_jobs_available`` when none came within ``wait_seconds``."""

    pool: Name = DEFAULT_POOL
    agent_id: AgentName
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict[str, str], max_length=MAX_AGENT_LABELS)
    max_jobs: int = Field(default=1, ge=1, le=32)
    wait_seconds: float = Field(default=10, ge=0, le=50, allow_inf_nan=False)


class ClaimedJob(Tolerant):
    """One attempt in the claimer's hands until ``lease_expires_at``, which each heartbeat moves."""

    job_id: str
    attempt: int
    lease_token: str
    lease_seconds: int
    lease_expires_at: Millis
    job: AttemptInput


class Claimed(Tolerant):
    """The answer to a claim that found something."""

    jobs: list[ClaimedJob]


class StartClaim(Frozen):
    """``PATCH /api/queue/jobs/{id}/start``."""

    lease_token: LeaseToken
    agent_id: AgentName


class BeatClaim(Frozen):
    """``PATCH /api/queue/jobs/{id}/heartbeat``."""

    lease_token: LeaseToken
    agent_id: AgentName


class ClaimLease(Tolerant):
    """The answer to start and heartbeat. ``cancel_requested``: stop the job and complete it as cancelled."""

    lease_expires_at: Millis
    cancel_requested: bool = False


class CompleteClaim(Frozen):
    """``PATCH /api/queue/jobs/{id}/complete``. Without ``outcome`` the exit code decides: 0 succeeded, else failed.

    ``log_bytes``: how long the log is that was sent; without it, readers go by its final chunk. ``log_sha256``: its
    digest, by which readers are told when what is stored is not what was sent.
    """

    lease_token: LeaseToken
    agent_id: AgentName
    exit_code: ExitCode | None = None
    outcome: Outcome | None = None
    error_message: Reported | None = None
    started_at: Millis | None = None
    log_bytes: int = Field(default=0, ge=0, le=MAX_LOG_BYTES)
    log_sha256: Sha256 | None = None


class Completed(Tolerant):
    """The answer to complete; the same again for the same completion of the same attempt."""

    job_id: str
    attempt: int
    outcome: Outcome
