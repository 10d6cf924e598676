"""Health and information."""

from pydantic import Field

from workflows.contracts.base import Frozen


class Health(Frozen):
    """The process answers."""

    status: str = "healthy"
    version: str


class Ready(Frozen):
    """All that this process needs answers. ``degraded`` names what of the whole is not well: ``worker``, ``disk``,
    ``store``; ``/health/system`` says what to do.
    """

    status: str = "ready"
    version: str
    checks: dict[str, str]
    degraded: list[str] = Field(default_factory=list[str])


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
