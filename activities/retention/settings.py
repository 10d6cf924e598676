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

    jobs: Age | None = Field(default=None, validation_alias="HYBRIDCI_KEEP_JOBS")
    logs: Age | None = Field(default=None, validation_alias="HYBRIDCI_KEEP_LOGS")
    artifacts: Age | None = Field(default=None, validation_alias="HYBRIDCI_KEEP_ARTIFACTS")
    deployments: Age | None = Field(default=None, validation_alias="HYBRIDCI_KEEP_DEPLOYMENTS")
    events: Age | None = Field(default=None, validation_alias="HYBRIDCI_KEEP_EVENTS")
    live_versions: int = Field(default=10, ge=2, le=50, validation_alias="HYBRIDCI_KEEP_LIVE_VERSIONS")

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
