"""The dashboard's first page in numbers."""

from pydantic import Field

from workflows.contracts.base import Frozen
from workflows.contracts.deployments.deployment import DeploymentSummary
from workflows.contracts.jobs import JobSummary


class Summary(Frozen):
    """Counters since the beginning, those of today (UTC), and the five newest of each.

    ``deployments_active``: on their way (pending, staging, staged or production). ``deployments_staging`` and
    ``deployments_failed``: with just this status, as the list by status shows them; ``deployments_by_status``: of each.
    """

    total_jobs: int
    jobs_running: int
    jobs_completed: int
    jobs_failed: int
    jobs_failed_today: int
    jobs_queued: int = 0
    jobs_dead_lettered: int = 0
    total_deployments: int
    deployments_today: int
    deployments_active: int
    deployments_staging: int
    deployments_failed: int
    deployments_by_status: dict[str, int] = Field(default_factory=dict[str, int])
    recent_jobs: list[JobSummary]
    recent_deployments: list[DeploymentSummary]
