"""What of a job was removed by policy, in words."""

from datetime import UTC, datetime

from workflows.contracts.errors import RemovedByPolicy
from workflows.contracts.jobs import Job
from workflows.job.record import deployment_of


def require_log(job: Job) -> None:
    """Raises RemovedByPolicy."""
    _require(job, "log", job.logs_removed_at)


def require_artifacts(job: Job, now: int) -> None:
    """Raises RemovedByPolicy. ``now``: epoch ms. A deployment's can be needed for longer than its job says."""
    if job.artifacts_removed_at is None and job.artifacts_expire_at is not None and deployment_of(job) is None:
        expired = job.artifacts_expire_at if job.artifacts_expire_at <= now else None
        _require(job, "artifacts", expired, "expired, as the job's `expires` says")
    _require(job, "artifacts", job.artifacts_removed_at)


def _require(job: Job, what: str, removed_at: int | None, why: str = "removed by policy") -> None:
    if removed_at is not None:
        day = datetime.fromtimestamp(removed_at / 1000, UTC).date().isoformat()
        raise RemovedByPolicy(f"The {what} of job {job.job_id} went on {day}: {why}. Its record stays.")
