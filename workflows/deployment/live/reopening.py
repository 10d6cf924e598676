"""A version that is live once more: its record as it is then, and with what its workflow is started again. Pure.

Times are epoch milliseconds. Deliberately not here: whether it is live (``activities.deployments.reopening``).
"""

from typing import Final

from workflows.contracts.deployments.commands import DeploymentInput
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentRequest,
    DeploymentStatus,
    Rollback,
    RollbackStatus,
    StageStatus,
)
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.services import Service
from workflows.deployment import record

_EARLIER_ROLLBACKS: Final = 20


def reopened(deployment: Deployment, again: LiveAgain, *, fence: int, run_id: str, now: int) -> Deployment:
    """Live again, in this turn, as if its rollout had just ended. What metrics said of its earlier life does not count
    any more; a rollback that was under way has failed with the workflow that made it.
    """
    last = deployment.definition.environments[-1].name
    lost = deployment.rollback if _under_way(deployment.rollback) else None
    earlier = [] if deployment.rollback is None else [_ended(deployment.rollback, now)]
    changed = record.stage_changed(
        deployment,
        last,
        status=StageStatus.DEPLOYED,
        fence=fence,
        waits_for=None,
        error_message=None,
        started_at=now,  # from then on metrics are judged
        ended_at=None,
    )
    return changed.model_copy(
        update={
            "status": DeploymentStatus.LIVE,
            "environment": last,
            "waits_for": None,
            "rollback": None,
            "rollbacks": [*deployment.rollbacks, *earlier][-_EARLIER_ROLLBACKS:],
            "metric_samples": [],
            "superseded_by": None,
            "live_again": again,
            "live_at": deployment.live_at if deployment.status is DeploymentStatus.LIVE else now,
            "completed_at": None,
            "closed": False,
            "closed_in": None,
            "reopened_in": run_id,
            "cause": None,
            "error_message": None if lost is None else _half_way(deployment, lost),
            "updated_at": now,
            "sequence": deployment.sequence + 1,
        }
    )


def start_again(deployment: Deployment, again: LiveAgain) -> DeploymentInput:
    """What its workflow is started with. It learns from the records how it stands; this is for people to read."""
    request = {name: getattr(deployment, name) for name in DeploymentRequest.model_fields}
    return DeploymentInput(
        deployment_id=deployment.deployment_id,
        request=DeploymentRequest.model_construct(**request),
        service=Service(
            name=deployment.service_name,
            version=deployment.service_version,
            spec=deployment.definition,
            created_at=deployment.created_at,
            updated_at=deployment.created_at,
        ),
        created_by=deployment.created_by,
        live_again=again,
    )


def _under_way(rollback: Rollback | None) -> bool:
    return rollback is not None and rollback.status is RollbackStatus.RUNNING


def _ended(rollback: Rollback, now: int) -> Rollback:
    if rollback.status is not RollbackStatus.RUNNING:
        return rollback
    why = "Its workflow was ended before it was done."
    return rollback.model_copy(update={"status": RollbackStatus.FAILED, "completed_at": now, "error_message": why})


def _half_way(deployment: Deployment, rollback: Rollback) -> str:
    return (
        f"Its workflow was ended while {rollback.target_version or 'another version'} was being brought back in "
        f"{rollback.environment}: look there now, and roll back again: `hybridci deploy rollback "
        f"{deployment.service_name} --environment {rollback.environment} --reason …`"
    )
