"""What of a job was removed by policy, in words."""

from datetime import UTC, datetime

from workflows.contracts.errors import RemovedByPolicy
from workflows.contracts.jobs import Job


def require_log(job: Job) -> None:
    """Raises RemovedByPolicy."""
    _require(job, "log", job.logs_removed_at)


def require_artifacts(job: Job) -> None:
    """Raises RemovedByPolicy."""
    _require(job, "artifacts", job.artifacts_removed_at)


def _require(job: Job, what: str, removed_at: int | None) -> None:
    if removed_at is not None:
        day = datetime.fromtimestamp(removed_at / 1000, UTC).date().isoformat()
        raise RemovedByPolicy(f"The {what} of job {job.job_id} went on {day}: removed by policy. Its record stays.")
