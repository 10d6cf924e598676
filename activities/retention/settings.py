"""How long what has ended is kept, from the environment (``HYBRIDCI_KEEP_…``). Without a setting it is kept for ever.

Only the control worker reads these: what a sweep does, and what the API says of it, is one process's word. Deliberately
not here: sessions, tokens and keys that ended, which expire by themselves (``stores.dynamo.credentials``).
"""

import re
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from workflows.contracts.storage.retention import RetentionPolicy

_AGE: Final = re.compile(r"([0-9]{1,9})\s*(s|m|min|h|d)", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_LONGEST_SECONDS: Final = 100 * 366 * 86_400


def age_seconds(text: object) -> object:
    """The seconds of an age such as ``90d`` or ``12h``. Raises ValueError: a bare number could mean anything."""
    if not isinstance(text, str):
        return text
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no age: write a number and its unit, such as 90d, 12h, 30m or 45s")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValueError(f"{text!r} is no age: it must be more than nothing and at most 100 years")
    return seconds


Age = Annotated[int | None, BeforeValidator(age_seconds)]


class RetentionSettings(BaseSettings):
    """The ages. A job that goes takes its log and its artifacts along, so neither can be kept for longer than it."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    jobs: Age = Field(default=None, validation_alias="HYBRIDCI_KEEP_JOBS")
    logs: Age = Field(default=None, validation_alias="HYBRIDCI_KEEP_LOGS")
    artifacts: Age = Field(default=None, validation_alias="HYBRIDCI_KEEP_ARTIFACTS")
    deployments: Age = Field(default=None, validation_alias="HYBRIDCI_KEEP_DEPLOYMENTS")
    events: Age = Field(default=None, validation_alias="HYBRIDCI_KEEP_EVENTS")
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
