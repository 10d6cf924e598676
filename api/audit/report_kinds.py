"""Which events a report tells under which heading."""

from typing import Final

from workflows.contracts.audit.types import EventType

PLACES: Final = frozenset({EventType.DEPLOYMENT_STAGED, EventType.DEPLOYMENT_LIVE, EventType.DEPLOYMENT_STAGE_RECORDED})
APPROVALS: Final = frozenset(
    {
        EventType.DEPLOYMENT_APPROVED,
        EventType.DEPLOYMENT_REJECTED,
        EventType.DEPLOYMENT_APPROVAL_EXPIRED,
        EventType.DEPLOYMENT_APPROVAL_REFUSED,
        EventType.DEPLOYMENT_REJECTION_REFUSED,
    }
)
CHECKS: Final = frozenset(
    {
        EventType.DEPLOYMENT_COMMIT_MISSED,
        EventType.DEPLOYMENT_SOURCE_FAILED,
        EventType.DEPLOYMENT_DEFINITION_FAILED,
        EventType.DEPLOYMENT_DEFINITION_INVALID,
        EventType.DEPLOYMENT_BUILD_FAILED,
        EventType.DEPLOYMENT_TEST_FAILED,
        EventType.DEPLOYMENT_DEPLOY_FAILED,
        EventType.DEPLOYMENT_HEALTH_CHECK_FAILED,
        EventType.DEPLOYMENT_VERIFICATION_FAILED,
        EventType.DEPLOYMENT_JOB_LOST,
        EventType.DEPLOYMENT_METRICS_BREACHED,
        EventType.DEPLOYMENT_PAUSED,
    }
)
ROLLBACKS: Final = frozenset(
    {
        EventType.DEPLOYMENT_ROLLBACK_REQUESTED,
        EventType.DEPLOYMENT_ROLLED_BACK,
        EventType.DEPLOYMENT_ROLLBACK_FAILED,
        EventType.DEPLOYMENT_ROLLBACK_REFUSED,
        EventType.DEPLOYMENT_GIVEN_UP,
        EventType.ENVIRONMENT_ROLLED_BACK,
    }
)
EXCEPTIONS: Final = frozenset(
    {
        EventType.DEPLOYMENT_FREEZE_OVERRIDDEN,
        EventType.DEPLOYMENT_FREEZE_OVERRIDE_REFUSED,
        EventType.DEPLOYMENT_RESUMED,
        EventType.DEPLOYMENT_REINSTATED,
        EventType.DEPLOYMENT_WORKFLOW_TERMINATED,
        EventType.DEPLOYMENT_REPAIRED,
        EventType.DEPLOYMENT_CANCEL_REQUESTED,
        EventType.DEPLOYMENT_STAGE_RECORDED,
        EventType.ENVIRONMENT_HELD,
        EventType.ENVIRONMENT_RELEASED,
        EventType.ENVIRONMENT_FROZEN,
        EventType.ENVIRONMENT_UNFROZEN,
        EventType.ENVIRONMENT_LOCK_FREED,
        EventType.ENVIRONMENT_BROKEN,
        EventType.ENVIRONMENT_DROPPED,
        EventType.ENVIRONMENT_RESTORED,
        EventType.WORKFLOW_REPAIRED,
    }
)
