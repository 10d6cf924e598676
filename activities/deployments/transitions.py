"""Which change of a deployment's status each operation may write, and what its record must say then.

The record's last line of defence against a wrong caller; what happens next is decided in ``workflows.deployment``. A
workflow that changes twice before it writes (its turn comes and a rollback is asked for) writes both as one change.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, DeploymentWrite, RollbackStatus
from workflows.contracts.errors import InvalidState

Change = tuple[DeploymentStatus | None, DeploymentStatus, bool]
"""(the status written last, the status now, is there a rollback); None for a record's first write."""


class DeploymentOperation(StrEnum):
    """The writes a record can get."""

    CREATE = "create"
    PREPARE = "prepare"  # before any environment: definition, build, test, waiting for the first one
    STAGING = "staging"  # in or through an environment before the last one
    PRODUCTION = "production"  # into the last one, and live there
    ROLLBACK = "rollback"  # another version comes back
    END = "end"  # failed or superseded, without a rollback
    REOPEN = "reopen"  # what has ended is live again; see ``reopening``


_PENDING, _STAGING, _STAGED, _PRODUCTION = (
    DeploymentStatus.PENDING,
    DeploymentStatus.STAGING,
    DeploymentStatus.STAGED,
    DeploymentStatus.PRODUCTION,
)
_LIVE, _FAILED, _ROLLED_BACK, _SUPERSEDED = (
    DeploymentStatus.LIVE,
    DeploymentStatus.FAILED,
    DeploymentStatus.ROLLED_BACK,
    DeploymentStatus.SUPERSEDED,
)
_ON_ITS_WAY: Final = (_PENDING, _STAGING, _STAGED)
_FORWARD: Final = (*_ON_ITS_WAY, _PRODUCTION)
_OPEN: Final = (*_FORWARD, _LIVE, _FAILED)
"""A failed deployment can be open still: its rollback failed and somebody tries again."""

DEPLOYMENT_OPERATIONS: Final[Mapping[Change, DeploymentOperation]] = {
    (None, _PENDING, False): DeploymentOperation.CREATE,
    (_PENDING, _PENDING, False): DeploymentOperation.PREPARE,
    **{(before, now, False): DeploymentOperation.STAGING for before in _ON_ITS_WAY for now in (_STAGING, _STAGED)},
    **{(before, _PRODUCTION, False): DeploymentOperation.PRODUCTION for before in _FORWARD},
    **{(before, _LIVE, False): DeploymentOperation.PRODUCTION for before in (*_FORWARD, _LIVE)},
    **{(before, _PRODUCTION, True): DeploymentOperation.ROLLBACK for before in _FORWARD},
    **{(before, _LIVE, True): DeploymentOperation.ROLLBACK for before in (*_FORWARD, _LIVE)},
    **{(before, now, True): DeploymentOperation.ROLLBACK for before in _OPEN for now in (_FAILED, _ROLLED_BACK)},
    (_ROLLED_BACK, _ROLLED_BACK, True): DeploymentOperation.ROLLBACK,  # more is known of it, its status stays
    **{(before, _FAILED, False): DeploymentOperation.END for before in _OPEN},
    **{(before, _SUPERSEDED, False): DeploymentOperation.END for before in (*_OPEN, _SUPERSEDED)},
    **{(before, _SUPERSEDED, True): DeploymentOperation.END for before in (_LIVE, _FAILED, _SUPERSEDED)},
    **{(before, _LIVE, False): DeploymentOperation.REOPEN for before in (_SUPERSEDED, _ROLLED_BACK, _FAILED)},
}
"""The one operation that writes each change. A change that is not here is illegal: nothing leaves rolled_back or
superseded but for live, nothing goes back from production to staging.
"""


def deployment_operation_of(write: DeploymentWrite) -> DeploymentOperation:
    """The operation that writes this change. Raises InvalidState when none does."""
    deployment = write.deployment
    operation = DEPLOYMENT_OPERATIONS.get((write.previous, deployment.status, deployment.rollback is not None))
    if operation is None:
        rollback = "with" if deployment.rollback is not None else "without"
        raise refused_deployment(
            write,
            f"nothing takes a deployment from {_words(write.previous)} to {deployment.status} {rollback} a rollback",
        )
    return operation


def check_deployment_change(
    operation: DeploymentOperation, write: DeploymentWrite, decided: DeploymentOperation | None = None
) -> None:
    """Raises InvalidState for a change that this operation may not write, or a record that contradicts itself.

    ``decided``: what ``deployment_operation_of`` has said of this write already.
    """
    actual = decided or deployment_operation_of(write)
    if actual is not operation:
        change = f"from {_words(write.previous)} to {write.deployment.status}"
        raise refused_deployment(write, f"{operation} may not take a deployment {change}; that is for {actual}")
    problem = _unknown_environment(write.deployment) or _missing_time(write.deployment)
    if problem is not None:
        raise refused_deployment(write, problem)


def refused_deployment(write: DeploymentWrite, why: str) -> InvalidState:
    """The error for a write that must not be."""
    deployment = write.deployment
    return InvalidState(
        f"The record of deployment {deployment.deployment_id} was not written: {why}. Look at its workflow: it is "
        "ahead of its record.",
        deployment_id=deployment.deployment_id,
        previous=write.previous,
        status=deployment.status,
    )


def environments_of(deployment: Deployment) -> list[str]:
    """The names of its environments, in order; none as long as its definition is not read."""
    return [environment.name for environment in deployment.definition.environments]


def _unknown_environment(deployment: Deployment) -> str | None:
    known = environments_of(deployment)
    named = [stage.environment for stage in deployment.stages]
    if len(set(named)) != len(named):
        return f"its stages {named} name an environment twice"
    if deployment.environment is not None:
        named.append(deployment.environment)
    if deployment.rollback is not None:
        named.append(deployment.rollback.environment)
    named += [approval.environment for approval in deployment.approvals]
    unknown = sorted(set(named) - set(known))
    if unknown:
        return f"its definition has no environment {', '.join(unknown)}, only {', '.join(known) or 'none'}"
    return None


def _missing_time(deployment: Deployment) -> str | None:
    needed = {_STAGED: "staged_at", _LIVE: "live_at", _ROLLED_BACK: "completed_at", _SUPERSEDED: "completed_at"}
    name = "completed_at" if deployment.status is _FAILED and deployment.closed else needed.get(deployment.status)
    if name is not None and getattr(deployment, name) is None:
        return f"its status is {deployment.status} but it has no {name}"
    if deployment.status is _FAILED and not deployment.closed and not _rollback_failed(deployment):
        return "it failed and is still open, but no rollback of it has failed"
    return None


def _rollback_failed(deployment: Deployment) -> bool:
    rollback = deployment.rollback
    return rollback is not None and (rollback.status is RollbackStatus.FAILED or bool(deployment.rollbacks))


def _words(status: DeploymentStatus | None) -> str:
    return status or "no record"
