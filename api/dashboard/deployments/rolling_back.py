"""A rollback before it is asked for: to what, whether that is ready, what it will run, what else there is. Pure.

Deliberately not here: choosing (``workflows.deployment.live.targets``); the API alone says where a rollback goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, RollbackStatus
from workflows.contracts.deployments.environments import LiveVersion
from workflows.contracts.deployments.line import EnvironmentShown
from workflows.contracts.deployments.services import Environment
from workflows.contracts.jobs import Step


@dataclass(frozen=True, slots=True)
class RollbackOffer:
    """``target`` None: nothing is known to go back to. ``ready`` None: nobody can tell. ``others``: named ones.

    ``steps``: what it will run; None when only the target's own record tells, ``steps_of``: whose.
    """

    environment: str
    target: str | None
    target_id: str | None
    ready: bool | None
    why: str
    steps: Sequence[Step] | None
    steps_of: str
    others: Sequence[LiveVersion]


def can_roll_back(deployment: Deployment) -> bool:
    """It is live, on its way into the last environment, or left there by a rollback that failed."""
    failed = deployment.rollback is not None and deployment.rollback.status is RollbackStatus.FAILED
    running = deployment.rollback is not None and deployment.rollback.status is RollbackStatus.RUNNING
    last = deployment.stages[-1] if deployment.stages else None
    there = last is not None and last.environment == deployment.environment and last.started_at is not None
    open_there = deployment.status is DeploymentStatus.LIVE or (there and not deployment.status.final) or failed
    return not deployment.closed and not running and open_there


def offer(deployment: Deployment, state: EnvironmentShown | None) -> RollbackOffer | None:
    """``state``: of the last environment. None where a rollback cannot be asked for."""
    if not deployment.definition.environments or not can_roll_back(deployment):
        return None
    own = deployment.definition.environments[-1]
    history = [] if state is None else state.history
    others = [live for live in history if live.deployment_id != deployment.deployment_id]
    target, target_id, ready, why = _target(deployment, state, own.name)
    named = next((live for live in others if live.version == target), None)
    steps, steps_of = _steps(own)
    return RollbackOffer(
        environment=own.name,
        target=target,
        target_id=target_id or (named.deployment_id if named is not None else None),
        ready=ready,
        why=why,
        steps=steps,
        steps_of=steps_of,
        others=list({live.version: live for live in reversed(others)}.values())[::-1],
    )


def with_targets_steps(found: RollbackOffer, target: Deployment | None) -> Sequence[Step] | None:
    """The environment's steps as the target defined them."""
    if found.steps is not None or target is None:
        return found.steps
    rules = next((each for each in target.definition.environments if each.name == found.environment), None)
    return None if rules is None else rules.steps


def _target(
    deployment: Deployment, state: EnvironmentShown | None, name: str
) -> tuple[str | None, str | None, bool | None, str]:
    known = None if state is None else state.rollback
    if known is not None and known.live == deployment.deployment_id:
        return known.target_version, None, known.ready, known.why
    stage = deployment.stage(name)
    if stage is None or stage.previous_version is None:
        return None, None, None, f"nothing is known to have been live in {name} before {deployment.version}"
    return (
        stage.previous_version,
        stage.previous_deployment_id,
        None,
        "whether it is ready is looked at every few minutes, the first time soon"
        if deployment.status is DeploymentStatus.LIVE
        else "whether it is ready is looked at once it is live",
    )


def _steps(own: Environment) -> tuple[Sequence[Step] | None, str]:
    if own.external:
        return [], "another CI rolls back here"
    if own.rollback is not None and own.rollback.steps:
        return own.rollback.steps, "the rollback steps of this definition"
    return None, "the environment's steps as that version defined them"
