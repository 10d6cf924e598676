"""The dashboard's first page in numbers."""

from workflows.contracts.base import Frozen
from workflows.contracts.deployments.deployment import DeploymentSummary
from workflows.contracts.jobs import JobSummary


class Summary(Frozen):
    """Counters since the beginning, those of today (UTC), and the five newest of each.

    ``deployments_active``: on their way (pending, staging, staged or production). ``deployments_staging`` and
    ``deployments_failed``: with just this status, as the list by status shows them.
    """

    total_jobs: int
    jobs_running: int
    jobs_completed: int
    jobs_failed: int
    jobs_failed_today: int
    total_deployments: int
    deployments_today: int
    deployments_active: int
    deployments_staging: int
    deployments_failed: int
    recent_jobs: list[JobSummary]
    recent_deployments: list[DeploymentSummary]
