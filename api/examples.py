"""An example of every body that the API reads, for its documentation and for whoever tries it from there.

A test sends none of them away: each fits its model. Deliberately not here: answers.
"""

from typing import Any, Final

from pydantic import BaseModel

from api.access.schemas import EXAMPLE_KEY, OwnerRequest, RotateRequest
from api.agents.schemas import PauseRequest, ReasonRequest, ScaleRequest, SealingKeysRequest, StatusRequest
from api.bans.schemas import BanRequest, UnbanRequest
from api.deployments.schemas import (
    EXAMPLE_DEPLOYMENT,
    ApproveRequest,
    CancelDeploymentRequest,
    MetricsRequest,
    PromoteRequest,
    RecordStageRequest,
    RejectRequest,
    RollbackRequest,
    StartRequest,
    StatedReasonRequest,
)  # fmt: skip
from api.environments.standing import ArchiveRequest, StandingRequest
from api.jobs.commands import (
    AmendRequest,
    BulkRedriveRequest,
    CancelRequest,
    CompleteRequest,
    DiscardRequest,
    EditRequest,
    PriorityRequest,
    RedriveRequest,
)  # fmt: skip
from api.jobs.schemas import EXAMPLE_JOB, Batch
from api.line.schemas import LetGoRequest, LineFreezeRequest, LineHoldRequest
from api.services.schemas import (
    EXAMPLE_SERVICE,
    ApprovePolicyRequest,
    FreezeRequest,
    HoldRequest,
    RejectPolicyRequest,
    ReleaseRequest,
    UnfreezeRequest,
)  # fmt: skip
from api.sign_in.schemas import ExchangeRequest, SessionRequest
from api.storage.schemas import SweepRequest
from api.system.schemas.repairs import RepairRequest
from api.tasks.schemas import EXAMPLE_TASK, TaskRequest
from api.webhooks.history.schemas import ReplayRequest
from workflows.contracts.access import KeyRequest
from workflows.contracts.agents import AgentRegistration, Heartbeat
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.claims import BeatClaim, ClaimRequest, CompleteClaim, StartClaim
from workflows.contracts.deployments.services import ServiceSpec
from workflows.contracts.jobs import JobSpec

_COMMIT: Final = "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736"
_AT: Final = 1_790_000_000_000
_CLAIM: Final = {"lease_token": "l-9f1c2d3e4b5a6978", "agent_id": "host-7"}
_EDIT: Final = {"pool": "big", "priority": "HIGH", "timeout_seconds": 7200, "env": {"DEBUG": "1", "OLD": None}}

BODIES: Final[dict[type[BaseModel], Any]] = {
    # jobs
    JobSpec: EXAMPLE_JOB,
    Batch: {"items": [EXAMPLE_JOB]},
    AmendRequest: {"priority": "HIGH", "labels": {"team": "shop"}},
    PriorityRequest: {"priority": "HIGH"},
    CancelRequest: {"reason": "a newer commit came"},
    CompleteRequest: {"exit_code": 0},
    EditRequest: _EDIT,
    RedriveRequest: {"edit": _EDIT, "reason": "the disk has room again"},
    DiscardRequest: {"reason": "its branch is gone"},
    BulkRedriveRequest: {
        "filter": {"pool": "default", "cause": "checkout"},
        "canary": {"count": 1, "timeout_seconds": 600},
        "reason": "the forge answers again",
    },
    # deployments
    ServiceSpec: EXAMPLE_SERVICE,
    StartRequest: EXAMPLE_DEPLOYMENT,
    ApproveRequest: {"environment": "production", "version": "1.4.2", "git_commit_sha": _COMMIT, "comment": "seen"},
    RejectRequest: {"environment": "production", "reason": "the release notes are missing"},
    RollbackRequest: {"reason": "checkout answers 500", "to_version": "1.4.1"},
    StatedReasonRequest: {"reason": "its alert was about the network"},
    PromoteRequest: {"reason": "all is green", "full": True},
    CancelDeploymentRequest: {"reason": "started by mistake"},
    RecordStageRequest: {"job_id": "build-4711", "status": "success", "message": "done by Jenkins"},
    MetricsRequest: {"error_rate": 0.002, "latency_ms": 84.5, "metrics": {"queue_depth": 3}, "source": "prometheus"},
    BanRequest: {"version": "1.4.2", "reason": "loses orders"},
    UnbanRequest: {"version": "1.4.2", "reason": "it was the network"},
    HoldRequest: {"reason": "the database is moved"},
    ReleaseRequest: {"reason": "it has moved"},
    FreezeRequest: {"name": "winter sale", "duration_seconds": 86_400, "reason": "no changes"},
    UnfreezeRequest: {"reason": "the sale is over"},
    LineFreezeRequest: {
        "name": "winter sale",
        "scope": {"all_services": True, "environments": ["production"]},
        "duration_seconds": 86_400,
        "reason": "no changes",
    },
    LineHoldRequest: {"scope": {"labels": {"team": "shop"}}, "reason": "an incident"},
    LetGoRequest: {"reason": "the incident is over"},
    ArchiveRequest: {"reason": "replaced by payments", "live_is_gone": True},
    StandingRequest: {"reason": "needed again"},
    ApprovePolicyRequest: {"version": 3, "reason": "two approvals are right"},
    RejectPolicyRequest: {"version": 3, "reason": "one approval is too few"},
    # agents
    AgentRegistration: {
        "agent_id": "host-7",
        "instance": "0123456789abcdef",
        "pool": "default",
        "capacity": 2,
        "labels": {"os": "linux"},
        "hostname": "host-7",
        "version": "1.0",
    },
    Heartbeat: {"sequence": 1, "at": _AT, "cpu_percent": 12.5, "accepting": True},
    ReasonRequest: {"reason": "the host is replaced"},
    PauseRequest: {"note": "disk swap", "seconds": 3600},
    StatusRequest: {"status": "DRAINING", "reason": "the host is replaced"},
    ScaleRequest: {"min_agents": 1, "max_agents": 10, "target_wait_seconds": 60},
    SealingKeysRequest: {"keys": ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="], "reason": "a new host"},
    TaskRequest: EXAMPLE_TASK,
    ClaimRequest: {"pool": "default", "agent_id": "host-7", "labels": {"os": "linux"}, "wait_seconds": 20},
    StartClaim: _CLAIM,
    BeatClaim: _CLAIM,
    CompleteClaim: {**_CLAIM, "exit_code": 0},
    AttemptStarted: {"attempt": 1, "agent_id": "host-7", "claimed_at": _AT},
    # access and the house
    KeyRequest: EXAMPLE_KEY,
    RotateRequest: {"overlap_seconds": 3600},
    OwnerRequest: {"owner": "ann@example.com"},
    SessionRequest: {"id_token": "eyJhbGciOi…", "issuer": "company"},
    ExchangeRequest: {"subject_token": "eyJhbGciOi…"},
    SweepRequest: {"dry_run": True},
    RepairRequest: {"reason": "its worker was rolled back"},
    ReplayRequest: {"start_again": True, "reason": "the registry answers again"},
}
"""By model. Times are in milliseconds since 1970."""
