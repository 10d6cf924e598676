"""The control worker's settings, from the environment. Built in its entry point and passed down.

Deliberately not here: Temporal's address and credentials (``TEMPORAL_*``, read by ``workflows.client.jobs.connect``)
and AWS's credentials (boto3's own variables).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from activities.retention.settings import RetentionSettings
from activities.stores.settings import StoreSettings
from workflows.contracts.identity.secrets import Secret
from workflows.followed import Followed, keys_in
from workflows.log_setup import LEVELS
from workflows.monitoring.setting import MonitoringPlace

_SECRET_BYTES: Final = 32
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class ApprovalSettings(BaseSettings):
    """How it is verified what the API says: by the secret that it proves it with (``HYBRIDCI_SIGNING_KEY``, or a file).

    Both permissions are for one's own machine, where `hybridci up` sets them.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    signing_key: SecretStr | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SIGNING_KEY",
        description="Proves what the API sends to workflows: the API's key, of 32 characters or more. Empty: the "
        "worker verifies nothing, and says so when it starts.",
    )
    signing_key_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SIGNING_KEY_FILE",
        description="A file with `HYBRIDCI_SIGNING_KEY`, or several, one a line, the newest first; read again when it "
        "changes.",
    )
    allow_unverified: bool = Field(
        default=False,
        validation_alias=AliasChoices("HYBRIDCI_ALLOW_UNVERIFIED", "HYBRIDCI_ALLOW_UNVERIFIED_APPROVALS"),
        description="For one's own machine: what is sent straight to Temporal starts deployments and changes "
        "services, and approves where a service says nothing. Until 2026-11-29 "
        "`HYBRIDCI_ALLOW_UNVERIFIED_APPROVALS`, which still counts.",
    )
    allow_self_approval: bool = Field(
        default=False,
        validation_alias="HYBRIDCI_ALLOW_SELF_APPROVAL",
        description="For one's own machine: whoever started a version may approve it, and an admin may name others "
        "(`--as`).",
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.keys()
        return self

    def secret(self) -> Secret | None:
        """The keys, read again when their file changes. None: nothing can be verified. Raises ValueError."""
        if not self.keys():
            return None
        files = [] if self.signing_key_file is None else [self.signing_key_file]
        return Followed("HYBRIDCI_SIGNING_KEY_FILE", files, self.keys).now

    def keys(self) -> Sequence[bytes]:
        """As they are now, the newest first; none: nothing can be verified. Raises ValueError."""
        keys = self._read()
        if any(len(key) < _SECRET_BYTES for key in keys):
            raise ValueError(f"HYBRIDCI_SIGNING_KEY must have at least {_SECRET_BYTES} characters, as the API's")
        return keys

    def _read(self) -> Sequence[bytes]:
        if self.signing_key is not None and self.signing_key_file is not None:
            raise ValueError("both HYBRIDCI_SIGNING_KEY and HYBRIDCI_SIGNING_KEY_FILE are set; keep one of them")
        if self.signing_key is not None:
            return [self.signing_key.get_secret_value().encode()]
        if self.signing_key_file is None:
            return []
        try:
            found = keys_in(self.signing_key_file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file named by HYBRIDCI_SIGNING_KEY_FILE cannot be read: {error}") from error
        if not found:
            raise ValueError("the file named by HYBRIDCI_SIGNING_KEY_FILE is empty: put the API's key into it")
        return [key.encode() for key in found]


class WorkerSettings(BaseSettings):
    """How much the worker does at once, how long it takes to stop, how much it tells."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    stores: StoreSettings
    approvals: ApprovalSettings | None = None
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    log_level: str = Field(
        default="INFO", description="The least that is logged: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`."
    )
    max_concurrent_workflow_tasks: int = Field(
        default=100,
        ge=2,
        validation_alias="HYBRIDCI_WORKER_WORKFLOW_TASKS",
        description="Workflow tasks at once, in threads.",
    )
    max_concurrent_local_activities: int = Field(
        default=100,
        ge=1,
        validation_alias="HYBRIDCI_WORKER_RECORD_WRITES",
        description="Record writes at once; not fewer than `HYBRIDCI_WORKER_WORKFLOW_TASKS`.",
    )
    max_concurrent_activities: int = Field(
        default=500,
        ge=1,
        validation_alias="HYBRIDCI_WORKER_ACTIVITIES",
        description="Environments that are being deployed to (each is watched by one), bulk redrives, maintenance: so "
        "many at once.",
    )
    max_cached_workflows: int = Field(
        default=1000,
        ge=1,
        validation_alias="HYBRIDCI_WORKER_CACHED_WORKFLOWS",
        description="Workflows that stay in memory between their tasks; more cost memory.",
    )
    graceful_shutdown_seconds: float = Field(
        default=10,
        ge=0,
        le=86_400,
        validation_alias="HYBRIDCI_WORKER_SHUTDOWN_SECONDS",
        description="How long activities that run may go on when it stops, in seconds.",
    )

    spec_key_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SPEC_KEY_FILE",
        description="The key that [signs what deployments run](secrets.md#jobs-that-the-control-plane-signs), the "
        "same for all workers. Empty: nothing is signed.",
    )
    seal_key_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SEAL_KEY_FILE",
        description="The key that [seals the audit trail](audit.md#evidence), the same for all workers; earlier keys "
        "below it. Empty: nothing is sealed.",
    )
    seals_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SEALS_FILE",
        description="Where copies of the seals go: a file that is appended to, a line each. Empty: no file.",
    )
    seals_url: str | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SEALS_URL",
        description="Where copies of the seals are POSTed to: an address with `https://`, or with `http://` on this "
        "machine. Empty: none.",
    )

    metrics_address: MonitoringPlace = Field(
        default=None,
        validation_alias="HYBRIDCI_WORKER_METRICS_ADDRESS",
        description="Where it [says how it is](processes.md#health-and-metrics): `host:port`, or a port of this "
        "machine. Empty: nowhere.",
    )

    @classmethod
    def from_environment(cls) -> Self:
        """Raises pydantic.ValidationError that names every bad variable."""
        return cls(stores=StoreSettings(), approvals=ApprovalSettings(), retention=RetentionSettings())

    @model_validator(mode="after")
    def _a_write_for_each_task(self) -> Self:
        """A workflow task waits for one record write at a time. Were that in line, the task could be renewed."""
        if self.max_concurrent_local_activities < self.max_concurrent_workflow_tasks:
            raise ValueError(
                f"HYBRIDCI_WORKER_RECORD_WRITES ({self.max_concurrent_local_activities}) must not be less than "
                f"HYBRIDCI_WORKER_WORKFLOW_TASKS ({self.max_concurrent_workflow_tasks})"
            )
        return self

    @field_validator("seals_url")
    @classmethod
    def _private(cls, url: str | None) -> str | None:
        """What is sent in clear could be held back on its way."""
        if url is None:
            return None
        parts = urlsplit(url)
        here = parts.hostname in _THIS_MACHINE
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
            raise ValueError("must be an address with https://, or with http:// on this machine")
        return url

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.upper() not in LEVELS:
            raise ValueError(f"must be one of {', '.join(LEVELS)}")
        return level.upper()
