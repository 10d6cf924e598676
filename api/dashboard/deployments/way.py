"""A deployment's way in phases: what is behind it, what it does now, what is to come; and the way back. Pure.

Deliberately not here: drawing it (``drawings.phases``), the words of what it waits for (the record has them).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from api.dashboard.drawings.phases import Box, Frame
from workflows.contracts.deployments.deployment import (
    Decision,
    Deployment,
    DeploymentStatus,
    RollbackStatus,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.services import Environment, ServiceSpec

_EARLY: Final = {
    "source": "look for the commit",
    "definition": "read the definition",
    "build": "build",
    "test": "test",
}
_VERIFIES: Final = frozenset({"verification_failed", "metrics_breached"})
_REFUSED: Final = frozenset({"rejected", "approval_expired"})
_OVER: Final = frozenset({StageStatus.DEPLOYED, StageStatus.FAILED, StageStatus.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class WayPhase:
    """One phase. ``state`` as of ``drawings.phases``; ``words``: the state for people. Times: epoch ms."""

    name: str
    state: str
    words: str
    job_ids: tuple[str, ...] = ()
    began: int | None = None
    ended: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.began is None or self.ended is None else (self.ended - self.began) / 1000


@dataclass(frozen=True, slots=True)
class Stretch:
    """The phases of one place: before all environments (``source``), or an environment."""

    name: str
    phases: tuple[WayPhase, ...]
    first: bool = False


def way_of(deployment: Deployment) -> list[Stretch]:
    """In the order in which it is passed."""
    early = tuple(_early(deployment))
    legs = [Stretch("before", early, first=True)] if early else []
    rules = {each.name: each for each in deployment.definition.environments}
    last = deployment.stages[-1].environment if deployment.stages else None
    for stage in deployment.stages:
        found = _phases_in(deployment, stage, rules.get(stage.environment), final=stage.environment == last)
        legs.append(Stretch(stage.environment, tuple(found)))
    return legs


def way_back(deployment: Deployment) -> WayPhase | None:
    """Its rollback, if there is one."""
    rollback = deployment.rollback
    if rollback is None:
        return None
    name = f"{'forward' if rollback.forward else 'back'} to {rollback.target_version or 'nothing'}"
    state, words = {
        RollbackStatus.RUNNING: ("now", "under way"),
        RollbackStatus.SUCCEEDED: ("back", "done"),
        RollbackStatus.FAILED: ("failed", "failed"),
    }[rollback.status]
    return WayPhase(name, state, words, tuple(rollback.job_ids), rollback.requested_at, rollback.completed_at)


def frames_of(legs: Sequence[Stretch]) -> list[Frame]:
    """As they are drawn."""
    return [Frame(leg.name, [_box(phase) for phase in leg.phases]) for leg in legs]


def box_of(phase: WayPhase | None) -> Box | None:
    """The way back as it is drawn."""
    return None if phase is None else _box(phase)


def in_a_sentence(legs: Sequence[Stretch], back: WayPhase | None) -> str:
    """``build: done; staging: roll out done; …``."""
    said = [f"{leg.name}: {', '.join(f'{each.name} {each.words}' for each in leg.phases)}" for leg in legs]
    said += [] if back is None else [f"{back.name}: {back.words}"]
    return f"{'; '.join(said) or 'Nothing has happened yet'}."


def _box(phase: WayPhase) -> Box:
    took = "" if phase.seconds is None or phase.state in {"todo", "wait"} else f" {_briefly(phase.seconds)}"
    return Box(phase.name, phase.state, f"{phase.words}{took}")


def _briefly(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{round(minutes / 60)} h"


def _early(deployment: Deployment) -> Iterator[WayPhase]:
    wanted = _wanted(deployment.definition)
    for name, shown in _EARLY.items():
        job_id: str | None = getattr(deployment, f"{name}_job_id")
        timing = deployment.timings.get(name)
        if job_id is None and name not in wanted:
            continue
        began = None if timing is None else timing.started_at
        ended = None if timing is None else timing.ended_at
        state, words = _early_state(deployment, name, job_id, ended)
        yield WayPhase(shown, state, words, () if job_id is None else (job_id,), began, ended)


def _wanted(spec: ServiceSpec) -> set[str]:
    wanted = {"source"} if spec.commit_on_ref else set[str]()
    wanted |= {"definition"} if spec.definition is not None else set()
    wanted |= {"build"} if spec.build is not None else set()
    return wanted | ({"test"} if spec.test is not None else set())


def _early_state(deployment: Deployment, name: str, job_id: str | None, ended: int | None) -> tuple[str, str]:
    began = any(stage.status is not StageStatus.PENDING for stage in deployment.stages)
    if job_id is None:
        return ("todo", "not done") if deployment.status.final else ("todo", "to come")
    if (deployment.cause or "").startswith(name):
        return "failed", "failed"
    if ended is not None or began or deployment.status is not DeploymentStatus.PENDING:
        return "done", "done"
    if deployment.waits_for is not None:
        return "wait", "waits"
    return "now", "runs"


def _phases_in(deployment: Deployment, stage: Stage, rules: Environment | None, *, final: bool) -> Iterator[WayPhase]:
    if rules is not None and rules.approval is not None:
        yield _approval(deployment, stage, rules.approval.required)
    yield _roll_out(deployment, stage, rules)
    if rules is not None and rules.verification is not None:
        yield _verify(deployment, stage)
    if final:
        yield _live(deployment, stage)


def _approval(deployment: Deployment, stage: Stage, required: int) -> WayPhase:
    own = [each for each in deployment.approvals if each.environment == stage.environment]
    given = [each for each in own if each.decision is Decision.APPROVE and each.counts]
    refused = any(each.decision is Decision.REJECT for each in own)
    at = stage.approved_at or (own[-1].at if own else None)
    if refused:
        return WayPhase("approval", "failed", "rejected", ended=at)
    if stage.approved_at is not None:
        return WayPhase("approval", "done", f"by {len(given)}" if given else "given", ended=at)
    if deployment.cause == "approval_expired" and stage.approval_expires_at is not None:
        return WayPhase("approval", "failed", "expired")
    if stage.status is StageStatus.WAITING and not deployment.closed:
        return WayPhase("approval", "wait", f"{len(given)} of {required}")
    return WayPhase("approval", "todo", f"{required} needed")


def _roll_out(deployment: Deployment, stage: Stage, rules: Environment | None) -> WayPhase:
    name = "another CI" if stage.external else "roll out"
    began, jobs = stage.started_at, tuple(stage.job_ids)
    percent = f"{stage.percent} %" if stage.percent is not None else ""
    match stage.status:
        case StageStatus.PENDING:
            state, words = "todo", "to come" if not deployment.status.final else "not done"
        case StageStatus.WAITING if stage.started_at is None and deployment.closed:
            state, words = "todo", "not done"
        case StageStatus.WAITING if stage.started_at is None:
            approves = rules is not None and rules.approval is not None and stage.approved_at is None
            state, words = ("todo", "to come") if approves else ("wait", "in line")
        case StageStatus.WAITING:
            state, words = "wait", percent or "waits"
        case StageStatus.DEPLOYING:
            state, words = "now", percent or "runs"
        case StageStatus.PAUSED if not _past_roll_out(stage):
            state, words = "wait", f"paused{f', {percent}' if percent else ''}"
        case StageStatus.FAILED | StageStatus.ROLLED_BACK if not _past_roll_out(stage):
            failed = deployment.cause not in _REFUSED and stage.started_at is not None
            state, words = ("failed", f"stopped{f', {percent}' if percent else ''}") if failed else ("todo", "not done")
        case _:
            state, words = "done", percent or "done"
    return WayPhase(name, state, words, jobs, began, stage.deployed_at or stage.ended_at)


def _past_roll_out(stage: Stage) -> bool:
    return stage.percent == 100 or stage.deployed_at is not None


def _verify(deployment: Deployment, stage: Stage) -> WayPhase:
    breached = deployment.cause in _VERIFIES and stage.environment == _broken_in(deployment)
    if breached:
        return WayPhase("verify", "failed", "metrics" if deployment.cause == "metrics_breached" else "failed")
    match stage.status:
        case StageStatus.VERIFYING:
            return WayPhase("verify", "now", "runs")
        case StageStatus.PAUSED if _past_roll_out(stage):
            return WayPhase("verify", "wait", "asks a person")
        case _ if stage.deployed_at is not None:
            return WayPhase("verify", "done", "passed")
        case _ if stage.status in _OVER or deployment.status.final:
            return WayPhase("verify", "todo", "not done")
        case _:
            return WayPhase("verify", "todo", "to come")


def _broken_in(deployment: Deployment) -> str | None:
    if deployment.rollback is not None:
        return deployment.rollback.environment
    return deployment.environment


def _live(deployment: Deployment, stage: Stage) -> WayPhase:
    at = deployment.live_at
    if deployment.status is DeploymentStatus.LIVE:
        asks = deployment.needs_decision is not None
        return WayPhase("live", "wait" if asks else "done", "asks a person" if asks else "live", began=at)
    if at is None:
        return WayPhase("live", "todo", "not reached" if deployment.status.final else "to come")
    words = {DeploymentStatus.SUPERSEDED: "until the next", DeploymentStatus.ROLLED_BACK: "rolled back"}
    return WayPhase("live", "back", words.get(deployment.status, "was live"), began=at)
