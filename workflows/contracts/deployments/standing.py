"""Whether a service is in use: archived, taken into use again, deleted; and an environment whose version is gone. Pure.

An archived service starts nothing and is hidden from lists; a deleted one is not there any more, but the numbers of its
turns go on, should one of its name be registered again. Deliberately not here: keeping it (links of services).
"""

from enum import StrEnum
from typing import Final

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.environments import EnvironmentState, PerhapsWhy
from workflows.contracts.deployments.services import ServiceName
from workflows.contracts.who import Named

LOOKED_AT: Final = 100
"""So many of a service's newest deployments are looked at for one that is under way."""


class ServiceStanding(StrEnum):
    """What becomes of a service."""

    ARCHIVED = "archived"
    IN_USE = "in_use"
    DELETED = "deleted"


class ChangeStanding(Named):
    """Archive a service, take it into use again, or delete it."""

    name: ServiceName
    to: ServiceStanding
    reason: PerhapsWhy = ""


class Occupied(Tolerant):
    """What is in a service's environments and on the way there, in words that name the command that helps."""

    under_way: list[str] = Field(default_factory=list[str])
    live: list[str] = Field(default_factory=list[str])


def occupied(service_name: str, states: list[EnvironmentState], newest: list[DeploymentSummary]) -> Occupied:
    """``newest``: the service's newest deployments."""
    under_way = [_on_its_way(each) for each in newest if _moves(each)]
    named = {each.deployment_id for each in newest if _moves(each)}
    live: list[str] = []
    for state in states:
        under_way += _waiting(state, named)
        if state.live is not None:
            live.append(
                f"{state.live.version} is live in {state.environment}: when it is gone, `hybridci service retire "
                f"{service_name} --environment {state.environment} --reason …` says so"
            )
    return Occupied(under_way=under_way, live=live)


def _waiting(state: EnvironmentState, named: set[str]) -> list[str]:
    holder = state.holder
    waits = [(ticket.version, ticket.deployment_id, "waits for") for ticket in state.queue]
    if holder is not None and not holder.live:
        waits.append((holder.version, holder.deployment_id, "is being rolled out to"))
    return [
        f"{version} {how} {state.environment}: `hybridci deploy cancel {deployment_id}`"
        for version, deployment_id, how in waits
        if deployment_id not in named
    ]


def _moves(deployment: DeploymentSummary) -> bool:
    return not deployment.status.final and deployment.status is not DeploymentStatus.LIVE


def _on_its_way(deployment: DeploymentSummary) -> str:
    where = f" in {deployment.environment}" if deployment.environment else ""
    return (
        f"{deployment.version} is {deployment.status}{where}: "
        f"`hybridci deploy cancel {deployment.deployment_id}`, or wait until it is through"
    )
