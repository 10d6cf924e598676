"""Steps of an environment's lock that its tests share."""

from typing import Any

from workflows.contracts.deployments.environments import (
    EnvironmentState,
    Ticket,
)
from workflows.environment import lock, turn
from workflows.environment.answers import NO_ANSWERS, Answers
from workflows.environment.step import EnvironmentStep

NOW = 1_700_000_000_000


EMPTY = EnvironmentState(service_name="shop", environment="production")


HOUR = 3_600_000


def ticket(name: str, *, ready: bool = True, **fields: Any) -> Ticket:
    return Ticket(
        deployment_id=name,
        workflow_id=f"deploy-{name}",
        version=name,
        git_commit_sha="a" * 40,
        arrived_at=NOW,
        ready=ready,
        **fields,
    )


def settled(step: EnvironmentStep, now: int = NOW, answers: Answers = NO_ANSWERS) -> EnvironmentStep:
    return step.then(lambda state: turn.proceed(state, now, answers))


def holding(name: str, state: EnvironmentState = EMPTY) -> EnvironmentState:
    after = settled(lock.join(state, ticket(name), NOW)).state
    assert after.holder is not None
    assert after.holder.deployment_id == name
    return after


def live(name: str) -> EnvironmentState:
    return lock.became_live(holding(name), name, NOW).state


def told(step: EnvironmentStep) -> list[tuple[str, str]]:
    return [(tell.deployment_id, type(tell.message).__name__) for tell in step.tells]
