"""The agent's settings, all from environment variables. Built once in the entry point and passed down.

Temporal's own (``TEMPORAL_*``) are deliberately not here: ``workflows.client.jobs.connect`` reads them.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from workflows.contracts.attempts import MAX_ARTIFACT_BYTES, MAX_LOG_BYTES
from workflows.contracts.fields import Name, ShortLine
from workflows.contracts.ids import DEFAULT_POOL
from workflows.monitoring.setting import MonitoringPlace

HostAndPort = Annotated[str, StringConstraints(pattern=r"^[^\s/]+:\d{1,5}$", strip_whitespace=True)]


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message says which one and what to do."""


_PROTOCOLS: Final = frozenset({"https", "ssh", "file", "http", "git"})
"""What git has besides runs commands, or reads from open files."""
DEFAULT_EXECUTOR: Final = "shell"


class AgentSettings(BaseSettings):
    """One agent. Sizes are bytes."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    url: Annotated[str, StringConstraints(pattern=r"^https?://", strip_whitespace=True)] = Field(
        default="http://127.0.0.1:8000", validation_alias="HYBRIDCI_URL"
    )
    api_key: SecretStr | None = Field(default=None, validation_alias="HYBRIDCI_API_KEY")
    api_key_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_API_KEY_FILE")
    pool: Name = Field(default=DEFAULT_POOL, validation_alias="HYBRIDCI_AGENT_POOL")
    capacity: int = Field(default=4, ge=1, le=1000, validation_alias="HYBRIDCI_AGENT_CAPACITY")
    directory: Path = Field(default=Path(".hybridci") / "agent", validation_alias="HYBRIDCI_AGENT_DIR")
    agent_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] | None = Field(
        default=None, validation_alias="HYBRIDCI_AGENT_ID"
    )
    labels: str = Field(default="", validation_alias="HYBRIDCI_AGENT_LABELS")
    region: ShortLine = Field(default="", validation_alias="HYBRIDCI_AGENT_REGION")
    gateway: Literal["auto", "on", "off"] = Field(default="auto", validation_alias="HYBRIDCI_GATEWAY")
    gateway_address: HostAndPort | None = Field(default=None, validation_alias="HYBRIDCI_GATEWAY_ADDRESS")
    gateway_ca_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_GATEWAY_CA_FILE")
    executor: str = Field(default=DEFAULT_EXECUTOR, validation_alias="HYBRIDCI_AGENT_EXECUTOR")
    secrets_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_SECRETS_FILE")
    pool_keys_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_POOL_KEYS_FILE")
    approvers_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_APPROVERS_FILE")
    metrics_dir: Path | None = Field(default=None, validation_alias="HYBRIDCI_METRICS_DIR")
    probes_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_PROBES_FILE")
    job_user: ShortLine | None = Field(default=None, validation_alias="HYBRIDCI_AGENT_JOB_USER")
    steps_home: Literal["own", "agent"] = Field(default="own", validation_alias="HYBRIDCI_AGENT_HOME")
    steps_env_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_AGENT_ENV_FILE")
    steps_pass_env: str = Field(default="", validation_alias="HYBRIDCI_AGENT_PASS_ENV")
    steps_temp_dir: Path | None = Field(default=None, validation_alias="HYBRIDCI_AGENT_TEMP_DIR")
    hooks: Path | None = Field(default=None, validation_alias="HYBRIDCI_AGENT_HOOKS")
    hook_seconds: float = Field(default=60, ge=1, le=3600, validation_alias="HYBRIDCI_AGENT_HOOK_SECONDS")
    tasks: int = Field(default=2, ge=0, le=100, validation_alias="HYBRIDCI_AGENT_TASKS")
    control_keys_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_CONTROL_KEYS_FILE")
    max_log_bytes: int = Field(
        default=MAX_LOG_BYTES, ge=1024, le=MAX_LOG_BYTES, validation_alias="HYBRIDCI_AGENT_MAX_LOG_BYTES"
    )
    max_artifact_bytes: int = Field(
        default=MAX_ARTIFACT_BYTES, ge=1, le=MAX_ARTIFACT_BYTES, validation_alias="HYBRIDCI_AGENT_MAX_ARTIFACT_BYTES"
    )
    cache_days: float = Field(default=14, gt=0, validation_alias="HYBRIDCI_AGENT_CACHE_DAYS")
    cache_bytes: int = Field(default=20 << 30, ge=0, validation_alias="HYBRIDCI_AGENT_CACHE_BYTES")
    resume_seconds: float = Field(
        default=3600, ge=0, allow_inf_nan=False, validation_alias="HYBRIDCI_AGENT_RESUME_SECONDS"
    )
    resume_bytes: int = Field(default=20 << 30, ge=0, validation_alias="HYBRIDCI_AGENT_RESUME_BYTES")
    git_protocols: str = Field(default="https,ssh,file", validation_alias="HYBRIDCI_AGENT_GIT_PROTOCOLS")
    metrics_address: MonitoringPlace = Field(default=None, validation_alias="HYBRIDCI_AGENT_METRICS_ADDRESS")
    git_proxy: Literal["off", "read"] = Field(default="off", validation_alias="HYBRIDCI_AGENT_GIT_PROXY")
    log_level: str = Field(default="INFO", validation_alias="LOG_LEVEL")

    def read_api_key(self) -> str:
        """The key this agent shows to the API. Raises SettingsError when there is none."""
        if self.api_key is not None:
            return _usable(self.api_key.get_secret_value(), "HYBRIDCI_API_KEY")
        if self.api_key_file is None:
            raise SettingsError("The agent has no key for the API: set HYBRIDCI_API_KEY or HYBRIDCI_API_KEY_FILE.")
        try:
            key = self.api_key_file.read_text("utf-8", errors="replace")
        except OSError as error:
            raise SettingsError(
                f"HYBRIDCI_API_KEY_FILE names {self.api_key_file}, which cannot be read ({error.strerror}): "
                "name a file that this user may read."
            ) from error
        return _usable(key, f"{self.api_key_file} (HYBRIDCI_API_KEY_FILE)")

    def protocols(self) -> tuple[str, ...]:
        """The kinds of addresses that repositories may have. Raises SettingsError."""
        named = tuple(dict.fromkeys(filter(None, (part.strip() for part in self.git_protocols.split(",")))))
        if not named or not set(named) <= _PROTOCOLS:
            raise SettingsError(
                f"HYBRIDCI_AGENT_GIT_PROTOCOLS is {self.git_protocols!r}: name some of "
                f"{', '.join(sorted(_PROTOCOLS))}, with commas between."
            )
        return named


def _usable(text: str, source: str) -> str:
    key = text.strip()
    if not key:
        raise SettingsError(f"{source} is empty: put the agent's key into it.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"What {source} holds is no key: it is one word of printable ASCII characters.")
    return key
