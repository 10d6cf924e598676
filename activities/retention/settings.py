"""How long what has ended is kept, from the environment (``HYBRIDCI_KEEP_…``). Without a setting it is kept for ever.

Only the control worker reads these: what a sweep does, and what the API says of it, is one process's word. Deliberately
not here: sessions, tokens and keys that ended, which expire by themselves (``stores.settings``).
"""

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from activities.ages import Age
from workflows.contracts.storage.retention import RetentionPolicy


class RetentionSettings(BaseSettings):
    """The ages. A job that goes takes its log and its artifacts along, so neither can be kept for longer than it."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    jobs: Age | None = Field(
        default=None,
        validation_alias="HYBRIDCI_KEEP_JOBS",
        description="[How long](operations.md#retention-and-storage) jobs that have ended are kept, with their logs "
        "and artifacts, such as `90d`. Empty: for ever.",
    )
    logs: Age | None = Field(
        default=None,
        validation_alias="HYBRIDCI_KEEP_LOGS",
        description="[How long](operations.md#retention-and-storage) logs of jobs are kept, `HYBRIDCI_KEEP_JOBS` at "
        "most. Empty: as long as their jobs.",
    )
    artifacts: Age | None = Field(
        default=None,
        validation_alias="HYBRIDCI_KEEP_ARTIFACTS",
        description="[How long](operations.md#retention-and-storage) artifacts of jobs are kept, `HYBRIDCI_KEEP_JOBS` "
        "at most. Empty: as long as their jobs.",
    )
    deployments: Age | None = Field(
        default=None,
        validation_alias="HYBRIDCI_KEEP_DEPLOYMENTS",
        description="[How long](operations.md#retention-and-storage) deployments that have ended are kept, then their "
        "jobs. Empty: for ever.",
    )
    events: Age | None = Field(
        default=None,
        validation_alias="HYBRIDCI_KEEP_EVENTS",
        description="[How long](operations.md#retention-and-storage) events of the audit trail are kept, in whole "
        "sealed segments. Empty: for ever.",
    )
    live_versions: int = Field(
        default=10,
        ge=2,
        le=50,
        validation_alias="HYBRIDCI_KEEP_LIVE_VERSIONS",
        description="[How many](operations.md#retention-and-storage) versions that are or were live each environment "
        "keeps, whatever their age: 2 to 50.",
    )

    @model_validator(mode="after")
    def _nothing_outlives_its_job(self) -> Self:
        for name, age in (("LOGS", self.logs), ("ARTIFACTS", self.artifacts)):
            if self.jobs is not None and age is not None and age > self.jobs:
                raise ValueError(
                    f"HYBRIDCI_KEEP_{name} must not be more than HYBRIDCI_KEEP_JOBS: a job that goes takes its "
                    f"{name.lower()} along"
                )
        return self

    def policy(self) -> RetentionPolicy:
        """The same as sweeps hand it on."""
        return RetentionPolicy(**{name: getattr(self, name) for name in RetentionPolicy.model_fields})
