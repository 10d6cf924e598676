"""How far a deployment's workflow is, beyond its record: what continue-as-new must carry. Pure.

Deliberately not here: what people read (``contracts.deployments.deployment``).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypedDict

from pydantic import Field

from workflows.contracts.audit.types import EventType
from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.bans import Ban
from workflows.contracts.deployments.commands import Abort, CancelDeployment, RecordStage, RollbackCommand
from workflows.contracts.deployments.environments import Granted, Order, Retired, Superseded
from workflows.contracts.deployments.inputs import EarlyJob
from workflows.contracts.deployments.services import Environment
from workflows.contracts.fields import Millis
from workflows.contracts.sealed import SignedApproval


class Part(StrEnum):
    """Where on its way a deployment is: what people and monitoring may say depends on this, not on the very phase."""

    BEFORE = "before"  # before any environment
    LINE = "line"  # in line for an environment, which knows of it
    CHECK = "check"  # its turn has come; nothing of it runs there yet
    THERE = "there"  # it is rolled out, or being rolled out: metrics are judged
    RECOVERY = "recovery"  # going back
    OVER = "over"


class Phase(StrEnum):
    """What the main line does now, in the order of a good day, each with its part. ``phases`` has their bodies."""

    part: Part

    def __new__(cls, value: str, part: Part) -> "Phase":
        """The part belongs to the name; only the name is stored."""
        phase = str.__new__(cls, value)
        phase._value_ = value
        phase.part = part
        return phase

    SOURCE = "source", Part.BEFORE
    DEFINITION = "definition", Part.BEFORE
    BUILD = "build", Part.BEFORE
    TEST = "test", Part.BEFORE
    JOIN = "join", Part.LINE
    ORDER = "order", Part.LINE
    APPROVAL = "approval", Part.LINE
    TURN = "turn", Part.LINE
    RECHECK = "recheck", Part.CHECK
    ROLL_OUT = "roll_out", Part.THERE
    VERIFY = "verify", Part.THERE
    BAKE = "bake", Part.THERE
    PAUSED = "paused", Part.THERE
    ARRIVED = "arrived", Part.THERE
    LIVE = "live", Part.THERE
    ROLLBACK = "rollback", Part.RECOVERY
    STUCK = "stuck", Part.RECOVERY
    END = "end", Part.OVER


class Halt(StrEnum):
    """What a rollout waits for between two percentages."""

    PAUSE = "pause"
    PERSON = "person"  # a pause until it is resumed
    STOP = "stop"  # a freeze or a hold


class Progress(Tolerant):
    """``stage`` counts environments, ``step`` percentages. ``until`` (ms) ends what is waited for.

    ``touched``: something ran in the last environment. ``in_line``: the environment knows of this deployment.
    ``order``: how its commit stands to others of the line, by deployment; None where nobody looked. ``seen``: what of
    that whoever approves was told; ``accepted``: what somebody lets it go on in spite of. ``left_fence``: of a turn
    that it gave back here, which no late word brings again. ``bans``: those of the versions that it could go back to.
    ``watched_in``: the environment in which its metrics are read.
    ``yielded_to``: the version that holds the environment while this one is live.
    ``fallback``: the environment as the version before defined it, for its rollback; ``fallback_early``: its jobs.

    ``pause`` counts the pauses done behind the last percentage. ``halted``: what its rollout waits for before the next
    one; ``firm``: it is nothing that a promotion passes. ``passes``: somebody lets it past what stops it, ``skips``:
    they leave that percentage out; ``full``: no pause and no percentage but the last any more. ``looks``: it is to look
    again whether something stops it.
    """

    phase: Phase = Phase.SOURCE
    stage: int = 0
    step: int = 0
    until: Millis | None = None
    baking_since: Millis | None = None
    in_line: bool = False
    touched: bool = False
    override_freeze: bool = False
    granted: Granted | None = None
    yielded_to: str | None = None
    recorded_stage: RecordStage | None = None
    resumed: bool = False
    fallback: Environment | None = None
    fallback_of: str | None = None
    fallback_approvals: list[SignedApproval] = Field(default_factory=list[SignedApproval])
    fallback_early: dict[EarlyJob, str] = Field(default_factory=dict[EarlyJob, str], exclude_if=lambda jobs: not jobs)
    rollback_job_id: str | None = None
    order: dict[str, Order] | None = None
    seen: list[str] = Field(default_factory=list[str])
    accepted: list[str] = Field(default_factory=list[str])
    bans: list[Ban] = Field(default_factory=list[Ban])
    left_fence: int = 0
    watched_in: str | None = None
    pause: int = 0
    halted: Halt | None = None
    firm: bool = False
    passes: bool = False
    skips: bool = False
    full: bool = False
    looks: bool = False


class Advance(TypedDict, total=False):
    """Fields of ``Progress`` that change together, so that a type checker knows their names and types."""

    phase: Phase
    stage: int
    step: int
    until: int | None
    baking_since: int | None
    in_line: bool
    touched: bool
    override_freeze: bool
    granted: Granted | None
    yielded_to: str | None
    recorded_stage: RecordStage | None
    resumed: bool
    fallback: Environment | None
    fallback_of: str | None
    fallback_approvals: list[SignedApproval]
    fallback_early: dict[EarlyJob, str]
    rollback_job_id: str | None
    order: dict[str, Order] | None
    seen: list[str]
    accepted: list[str]
    bans: list[Ban]
    left_fence: int
    watched_in: str | None
    pause: int
    halted: Halt | None
    firm: bool
    passes: bool
    skips: bool
    full: bool
    looks: bool


METRICS: Final = "metrics"
"""The key of a decision that metrics call for."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Metrics are over a limit."""

    message: str


@dataclass(frozen=True, slots=True)
class Banned:
    """Its version or its commit is banned."""

    message: str


Interrupt = RollbackCommand | CancelDeployment | Abort | Superseded | Retired | Breach | Banned
"""What ends the present phase early."""


class Failed(Exception):
    """The deployment cannot go on. ``what`` happened is in the trail, its word the record's cause."""

    def __init__(self, what: EventType, message: str) -> None:
        super().__init__(message)
        self.what, self.message = what, message


class Interrupted(Exception):
    """There is an interrupt to be looked at."""


class Renew(Exception):
    """The history is long: go on in a new run."""
