"""Health, information and the dashboard's summary."""

from typing import Any

from pydantic import Field

from workflows.contracts.base import Frozen
from workflows.contracts.jobs import JobSummary


class Health(Frozen):
    """The process answers."""

    status: str = "healthy"
    version: str


class Ready(Frozen):
    """All backing services answer."""

    status: str = "ready"
    version: str
    checks: dict[str, str]


class Info(Frozen):
    """What this server is. Sizes in bytes."""

    name: str = "hybrid-ci-cd"
    version: str
    environment: str
    python: str
    docs_url: str = "/api/docs"
    openapi_url: str = "/api/openapi.json"
    max_body_bytes: int
    max_log_chunk_bytes: int
    max_artifact_bytes: int


class Summary(Frozen):
    """The dashboard's first page in numbers. Deployments stay 0 until there are any."""

    total_jobs: int
    jobs_running: int
    jobs_completed: int
    jobs_failed: int
    jobs_failed_today: int
    total_deployments: int = 0
    deployments_today: int = 0
    deployments_active: int = 0
    deployments_staging: int = 0
    deployments_failed: int = 0
    recent_jobs: list[JobSummary]
    recent_deployments: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
