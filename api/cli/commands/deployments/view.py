"""What there is to see of a deployment: its stages in order, in words. Pure; `deploy show` and `deploy watch` share it.

Deliberately not here: printing (``output``, ``watch``) and what to do next (``advice``).
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from api.cli.output import span
from api.wording import CANCELLED, status_word
from workflows.contracts.deployments.deployment import (
    Approval,
    Decision,
    Deployment,
    DeploymentStatus,
    Rollback,
    RollbackStatus,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.environments import RollbackReadiness
from workflows.contracts.deployments.services import Environment

NOT_REACHED: Final = "not reached"
_SHORT_REASON: Final = 100
_FINISHED: Final = frozenset({StageStatus.DEPLOYED, StageStatus.FAILED, StageStatus.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class WayRow:
    """One line of the way: the definition's job, build, test, or an environment. Times: epoch milliseconds."""

    name: str
    status: str
    percent: int | None = None
    approvals: str | None = None
    previous: str | None = None
    job_ids: tuple[str, ...] = ()
    started_at: int | None = None
    ended_at: int | None = None
    waits_for: str | None = None


def way_rows(deployment: Deployment) -> list[WayRow]:
    """All of the way, in the order in which it is passed; behind it the way back."""
    rows = [*_jobs_before(deployment), *(_environment_row(deployment, stage) for stage in deployment.stages)]
    return rows if deployment.rollback is None else [*rows, _rollback_row(deployment.rollback)]


def title(deployment: Deployment) -> str:
    """``checkout 1.4.2``."""
    return f"{deployment.service_name} {deployment.version}"


def settled(deployment: Deployment) -> bool:
    """Live or ended, and no rollback is under way: nothing will happen by itself."""
    rolling_back = deployment.rollback is not None and deployment.rollback.status is RollbackStatus.RUNNING
    over = deployment.closed or deployment.status.final or deployment.status is DeploymentStatus.LIVE
    return over and not rolling_back


def state(deployment: Deployment) -> str:
    """Where it stands, in a few words."""
    rollback = deployment.rollback
    if rollback is not None and rollback.status is RollbackStatus.RUNNING:
        how = "rolling forward" if rollback.forward else "rolling back"
        return f"{how} to {rollback.target_version or 'nothing'} in {rollback.environment}"
    where = f" in {deployment.environment}" if deployment.environment else ""
    match deployment.status:
        case DeploymentStatus.LIVE:
            return f"live{where}"
        case DeploymentStatus.FAILED | DeploymentStatus.ROLLED_BACK | DeploymentStatus.SUPERSEDED:
            return status_word(deployment).replace("_", " ")
        case _:
            stage = deployment.stage(deployment.environment) if deployment.environment else None
            doing = f" ({_doing(stage)})" if stage is not None else ""
            # "staging (deploying 100 %)", but "staged, now at production (waiting)"
            now_at = f", now at {deployment.environment}" if deployment.environment != deployment.status else ""
            return f"{deployment.status}{now_at if deployment.environment else ''}{doing}"


def outcome(deployment: Deployment) -> str:
    """How it ended, in one sentence."""
    rollback, why = deployment.rollback, deployment.error_message
    match deployment.status:
        case DeploymentStatus.LIVE:
            took = "" if deployment.live_at is None else f" after {span(_seconds(deployment, deployment.live_at))}"
            return f"{title(deployment)} is live in {deployment.environment}{took}."
        case DeploymentStatus.ROLLED_BACK if rollback is not None:
            target = rollback.target_version or "nothing: there was no version before"
            return f"{title(deployment)} was rolled back to {target} in {rollback.environment}: {rollback.reason}"
        case DeploymentStatus.SUPERSEDED:
            return f"{title(deployment)} was superseded: {why or 'another version took its place.'}"
        case DeploymentStatus.FAILED if status_word(deployment) == CANCELLED:
            return f"{title(deployment)} was cancelled: {why or 'its record does not say why.'}"
        case DeploymentStatus.FAILED:
            return f"{title(deployment)} failed: {why or deployment.cause or 'its record does not say why.'}"
        case _:
            return f"{title(deployment)} is {state(deployment)}."


def in_git(deployment: Deployment) -> str | None:
    """Whom the commit names, as agents found it there."""
    told = [f"author {each.author}, committer {each.committer}" for each in deployment.git_people]
    return "; an agent says otherwise: ".join(told) or None


def commit_order(deployment: Deployment) -> str | None:
    """How its commit stands to what was live or ahead where it came, where that is not as it should be."""
    told = [
        f"{each.environment}: {each.remark}, which {each.place}" + (f" ({each.why})" if each.why else "")
        for each in deployment.relations
        if each.remark is not None
    ]
    return "; ".join(told) or None


def rollback_words(rollback: Rollback) -> str:
    """To what, how far, by whom, and why in short."""
    by = "automatically" if rollback.automatic else f"by {rollback.by}"
    where = f"{rollback.target_version or 'nothing'} in {rollback.environment}"
    where = f"{where} (rolls forward)" if rollback.forward else where
    return f"to {where}: {rollback.status}, {by}: {shortened(rollback.reason)}"


def rollback_readiness(found: RollbackReadiness) -> str:
    """Whether one could go back now."""
    to = f" to {found.target_version}" if found.target_version else ""
    words = {True: f"ready{to}", False: f"NOT READY{to}", None: f"not known{to}" if to else "no target"}
    return f"{words[found.ready]}: {shortened(found.why)}"


def shortened(reason: str) -> str:
    """A reason that is told in full elsewhere: a failed job's can fill half a screen."""
    return textwrap.shorten(reason, _SHORT_REASON, placeholder=" …")


def environment_of(deployment: Deployment, name: str) -> Environment | None:
    """The definition of an environment."""
    return next((each for each in deployment.definition.environments if each.name == name), None)


def waits_for_approval(deployment: Deployment) -> bool:
    """True while people must say yes to the environment where it stands."""
    stage = deployment.stage(deployment.environment) if deployment.environment else None
    if stage is None or stage.status is not StageStatus.WAITING or stage.approved_at is not None:
        return False
    environment = environment_of(deployment, stage.environment)
    return environment is not None and environment.approval is not None


def live_again(deployment: Deployment) -> str | None:
    """How it came to be live once more."""
    again = deployment.live_again
    if again is None:
        return None
    by = f" by {again.by}" if again.by else ""
    if again.from_deployment_id is None:
        return f"its workflow was started again{by}: {shortened(again.reason or 'it had gone')}"
    return f"brought back from {again.from_version}{by}: {shortened(again.reason)}"


def _rollback_row(rollback: Rollback) -> WayRow:
    return WayRow(
        name="rollback",
        status=rollback.status.value,
        job_ids=tuple(rollback.job_ids),
        started_at=rollback.requested_at,
        ended_at=rollback.completed_at,
    )


def _jobs_before(deployment: Deployment) -> Iterator[WayRow]:
    definition = deployment.definition
    early = [
        ("source", deployment.source_job_id, definition.commit_on_ref),
        ("definition", deployment.definition_job_id, definition.definition is not None),
        ("build", deployment.build_job_id, definition.build is not None),
        ("test", deployment.test_job_id, definition.test is not None),
    ]
    passed = any(stage.status is not StageStatus.PENDING for stage in deployment.stages)
    for index, (name, job_id, defined) in enumerate(early):
        if not defined and job_id is None:
            continue
        later = passed or any(other is not None for _, other, _ in early[index + 1 :])
        timing = deployment.timings.get(name)
        yield WayRow(
            name,
            _job_status(deployment, name, job_id, later=later),
            job_ids=(job_id,) if job_id else (),
            started_at=timing and timing.started_at,
            ended_at=timing and timing.ended_at,
        )


def _job_status(deployment: Deployment, name: str, job_id: str | None, *, later: bool) -> str:
    if later:
        return "success"
    if deployment.status.final:
        failed = (deployment.cause or "").startswith(f"{name}_")
        return "failed" if failed else "stopped" if job_id else NOT_REACHED
    if job_id and deployment.environment is None and deployment.waits_for is not None:
        return "waiting"  # for its commit
    return "running" if job_id else "pending"


def _environment_row(deployment: Deployment, stage: Stage) -> WayRow:
    unreached = stage.status is StageStatus.PENDING and deployment.status.final
    return WayRow(
        name=stage.environment,
        status=NOT_REACHED if unreached else stage.status.value,
        percent=stage.percent,
        approvals=approvals(deployment, stage.environment),
        previous=stage.previous_version,
        job_ids=tuple(stage.job_ids),
        started_at=stage.started_at,
        ended_at=stage.ended_at if stage.status in _FINISHED else None,
        waits_for=stage.waits_for,
    )


def approvals(deployment: Deployment, name: str) -> str | None:
    """``1 of 2 (ann)``; None where none is needed and none was given."""
    said = [entry for entry in deployment.approvals if entry.environment == name]
    rejected = [entry.by for entry in said if entry.decision is Decision.REJECT]
    if rejected:
        return f"rejected ({rejected[-1]})"
    given = [_given(entry) for entry in said if entry.counts]
    environment = environment_of(deployment, name)
    policy = environment.approval if environment is not None else None
    people = f" ({', '.join(given)})" if given else ""
    if policy is None:
        return f"{len(given)}{people}" if given else None
    return f"{len(given)} of {policy.required}{people}"


def _given(entry: Approval) -> str:
    """By whom, and what everybody has to know of it."""
    marks = ["self-approval"] if entry.self_approval else []
    marks += ["unverified"] if entry.verified is False else []
    return f"{entry.by}: {', '.join(marks)}" if marks else entry.by


def _doing(stage: Stage) -> str:
    percent = f" {stage.percent} %" if stage.percent is not None and stage.status is StageStatus.DEPLOYING else ""
    return f"{stage.status}{percent}"


def _seconds(deployment: Deployment, until: int) -> float:
    return max(until - deployment.created_at, 0) / 1000
