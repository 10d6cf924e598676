"""Workflows that cannot go on, and their repair: what is found, what is asked, what became of it.

Temporal tries a failing workflow task for ever, so such a workflow is open, answers nothing and does nothing.
Deliberately not here: how one is found (``workflows.repair.stuck``) and cured (``workflows.repair.workflow``). Times:
epoch ms.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.deployments.environments import Why
from workflows.contracts.who import Message

REPAIR_CAUSE: Final = "repaired"
"""The cause of a record whose workflow a repair has ended."""


class Kind(StrEnum):
    """What a workflow carries. Only ``OTHER`` has no record of its own: a person cures it with Temporal's CLI."""

    JOB = "job"
    DEPLOYMENT = "deployment"
    ENVIRONMENT = "environment"
    OTHER = "other"


KINDS: Final[Mapping[str, Kind]] = {
    "JobWorkflow": Kind.JOB,
    "DeploymentWorkflow": Kind.DEPLOYMENT,
    "EnvironmentWorkflow": Kind.ENVIRONMENT,
    "RedriveWorkflow": Kind.OTHER,
    "ReconcileWorkflow": Kind.OTHER,
    "LiveVersionsWorkflow": Kind.OTHER,
    "ServiceWorkflow": Kind.OTHER,
    "PolicyDecisionWorkflow": Kind.OTHER,
    "BanWorkflow": Kind.OTHER,
    "LiftBanWorkflow": Kind.OTHER,
    "StandingWorkflow": Kind.OTHER,
    "LineWorkflow": Kind.OTHER,
    "RepairWorkflow": Kind.OTHER,
    "SweepWorkflow": Kind.OTHER,
    "AgentTaskWorkflow": Kind.OTHER,
    "MetricsWatchWorkflow": Kind.OTHER,
}
"""Our workflow types: a namespace may be shared with others'."""


class Subject(Tolerant):
    """A workflow of ours and what it carries."""

    kind: Kind
    workflow_id: str
    job_id: str | None = None
    deployment_id: str | None = None
    service_name: str | None = None
    environment: str | None = None
    version: str | None = None
    pool: str | None = None

    @property
    def command(self) -> str:
        """The command line that cures it."""
        match self.kind:
            case Kind.JOB:
                return f'hybridci repair job {self.job_id} --reason "…"'
            case Kind.DEPLOYMENT:
                return f'hybridci repair deploy {self.deployment_id} --reason "…"'
            case Kind.ENVIRONMENT:
                return f'hybridci repair environment {self.service_name}/{self.environment} --reason "…"'
            case Kind.OTHER:
                return f"temporal workflow reset --workflow-id {self.workflow_id} --type LastWorkflowTask --reason …"

    def __str__(self) -> str:
        match self.kind:
            case Kind.JOB:
                return f"job {self.job_id}"
            case Kind.DEPLOYMENT:
                return f"deployment {self.deployment_id} ({self.service_name} {self.version})"
            case Kind.ENVIRONMENT:
                return f"environment {self.environment} of {self.service_name}"
            case Kind.OTHER:
                return f"workflow {self.workflow_id}"


class StuckWorkflow(Subject):
    """One whose workflow task fails again and again. ``cause`` is Temporal's word for it."""

    run_id: str
    workflow_type: str
    cause: str = ""


class Story(Tolerant):
    """What the history says of it. ``episode`` names this failure: the same for all who look, another one next time."""

    episode: str
    message: str = ""


class Repair(Message):
    """Let it go on from its last good task, or, with ``end`` or when that is not possible, end it."""

    reason: Why
    end: bool = False


class RepairInput(Tolerant):
    """The argument of ``RepairWorkflow``."""

    subject: Subject
    command: Repair


class RepairOutcome(StrEnum):
    """What became of a repair."""

    RESET = "reset"  # it goes on
    ENDED = "ended"  # its record says so; a lock is free
    RECOVERED = "recovered"  # it went on by itself, or has ended meanwhile
    SILENT = "silent"  # it was reset, and no worker has taken its task since
    UNDER_WAY = "under_way"  # the caller did not wait for the end


class RepairResult(Tolerant):
    """What became of a repair, in words for people. ``resets``: how many tasks it was taken back."""

    workflow_id: str
    outcome: RepairOutcome
    message: str
    resets: int = 0


class Standing(Tolerant):
    """How a workflow stands at this moment.

    ``reset_to``: the id of the event that ends its last good task, None when it must not be taken back there;
    ``obstacle`` then says why. ``odd_answer``: what an agent answered that stops the workflow, in words; empty when it
    is something else that does.
    """

    open: bool
    stuck: bool = False
    run_id: str = ""
    reset_to: int | None = None
    obstacle: str = ""
    odd_answer: str = ""


class Reset(Tolerant):
    """Take a workflow back. The same ``request_id`` again does nothing."""

    workflow_id: str
    run_id: str
    event_id: int
    request_id: str
    reason: str


class End(Tolerant):
    """End this run of the repair's workflow. ``odd_answer`` as in ``Standing``: only the attempt is over then."""

    repair: RepairInput
    run_id: str
    odd_answer: str = ""


class RepairProgress(StrEnum):
    """What a workflow does after a reset."""

    GOES_ON = "goes_on"
    STUCK = "stuck"
    SILENT = "silent"


class RepairNote(Frozen):
    """A repair for the audit trail."""

    event_id: str
    repair: RepairInput
    result: RepairResult
