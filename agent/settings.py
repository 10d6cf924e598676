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
        default="http://127.0.0.1:8000", validation_alias="HYBRIDCI_URL", description="The API's address."
    )
    api_key: SecretStr | None = Field(
        default=None,
        validation_alias="HYBRIDCI_API_KEY",
        description="The key that registers it with the API: one of its pool, with the role `agent`.",
    )
    api_key_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_API_KEY_FILE",
        description="A file with `HYBRIDCI_API_KEY`, read at each registration: a key that is replaced needs no "
        "restart.",
    )
    pool: Name = Field(
        default=DEFAULT_POOL, validation_alias="HYBRIDCI_AGENT_POOL", description="The pool whose jobs it runs."
    )
    capacity: int = Field(
        default=4,
        ge=1,
        le=1000,
        validation_alias="HYBRIDCI_AGENT_CAPACITY",
        description="How many jobs at once, 1 to 1000.",
    )
    directory: Path = Field(
        default=Path(".hybridci") / "agent",
        validation_alias="HYBRIDCI_AGENT_DIR",
        description="The agent's folder: workspaces, git cache, logs that the API has yet to take.",
    )
    agent_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] | None = Field(
        default=None,
        validation_alias="HYBRIDCI_AGENT_ID",
        description="Its name, 1 to 128 characters. Empty: made up once and kept in `HYBRIDCI_AGENT_DIR`.",
    )
    labels: str = Field(
        default="",
        validation_alias="HYBRIDCI_AGENT_LABELS",
        description="Labels that jobs can [ask for](agents.md#what-holds), with commas, such as `gpu=a100,ssd`; added "
        "to `os` and `arch`.",
    )
    region: ShortLine = Field(
        default="", validation_alias="HYBRIDCI_AGENT_REGION", description="Where it is: anything, shown to people."
    )
    gateway: Literal["auto", "on", "off"] = Field(
        default="auto",
        validation_alias="HYBRIDCI_GATEWAY",
        description="`auto`: the gateway of `HYBRIDCI_GATEWAY_ADDRESS`, else Temporal itself where `TEMPORAL_ADDRESS` "
        "is set, else the gateway that the registration names. `on`: only a gateway. `off`: never one.",
    )
    gateway_address: HostAndPort | None = Field(
        default=None,
        validation_alias="HYBRIDCI_GATEWAY_ADDRESS",
        description="Another gateway than the one that the registration names, as `host:port`.",
    )
    gateway_ca_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_GATEWAY_CA_FILE",
        description="The certificate, in PEM, by which the gateway is known. Empty: the one that came with the "
        "registration's gateway, else the system's authorities.",
    )
    executor: str = Field(
        default=DEFAULT_EXECUTOR,
        validation_alias="HYBRIDCI_AGENT_EXECUTOR",
        description="How steps are run, by name: `shell`, or [one that you add](recipes.md#add-an-executor).",
    )
    secrets_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SECRETS_FILE",
        description="Which [secrets](secrets.md) jobs may have, and where they are: what only the agent knows.",
    )
    pool_keys_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_POOL_KEYS_FILE",
        description="The pool's private keys, which open [sealed values](secrets.md#sealed-values): what only the "
        "agent knows.",
    )
    approvers_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_APPROVERS_FILE",
        description="The public keys of approvers: the agent believes them alone, and runs only [what they have "
        "signed](secrets.md#approvals-that-agents-check). Empty: whatever its pool is given.",
    )
    metrics_dir: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_METRICS_DIR",
        description="A folder with more [providers of metrics](agents.md#providers-of-metrics). Empty: only the "
        "shipped ones, which `PROMETHEUS_URL`, `DATADOG_API_KEY`, … switch on.",
    )
    probes_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_PROBES_FILE",
        description="The agent's commands for metrics and artifacts, with which it answers [questions besides "
        "jobs](agents.md#questions-besides-jobs). Empty: it has none.",
    )
    job_user: ShortLine | None = Field(
        default=None,
        validation_alias="HYBRIDCI_AGENT_JOB_USER",
        description="The user that [steps run as](secrets.md#what-a-step-could-see); needs an agent that runs as "
        "root. Empty: the agent's own.",
    )
    steps_home: Literal["own", "agent"] = Field(
        default="own",
        validation_alias="HYBRIDCI_AGENT_HOME",
        description="The `HOME` [of steps](steps.md#what-a-step-sees). `own`: a folder of the attempt. `agent`: the "
        "agent's (or that of `HYBRIDCI_AGENT_JOB_USER`), with its `.netrc` and `docker login`, which jobs "
        "then share.",
    )
    steps_env_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_AGENT_ENV_FILE",
        description="A file with lines `NAME=value` that [every step sees](steps.md#what-a-step-sees). Nothing in it "
        "is masked: secrets are [given otherwise](secrets.md).",
    )
    steps_pass_env: str = Field(
        default="",
        validation_alias="HYBRIDCI_AGENT_PASS_ENV",
        description="Names of the agent's own variables that [steps see too](steps.md#what-a-step-sees), with commas: "
        "`HTTPS_PROXY,CARGO_HOME`. One that is a secret by its name is refused.",
    )
    steps_temp_dir: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_AGENT_TEMP_DIR",
        description="The folder in which the agent makes [the `HOME` and `TMPDIR` of "
        "steps](steps.md#what-a-step-sees). Empty: `/var/tmp`, else `/tmp`.",
    )
    hooks: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_AGENT_HOOKS",
        description="A folder of [programs that run around each job](agents.md#hooks). Empty: none.",
    )
    hook_seconds: float = Field(
        default=60,
        ge=1,
        le=3600,
        validation_alias="HYBRIDCI_AGENT_HOOK_SECONDS",
        description="How long each hook may take, in seconds, 1 to 3600.",
    )
    tasks: int = Field(
        default=2,
        ge=0,
        le=100,
        validation_alias="HYBRIDCI_AGENT_TASKS",
        description="How many [questions besides jobs](agents.md#questions-besides-jobs) it answers at once; 0 for "
        "none.",
    )
    control_keys_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_CONTROL_KEYS_FILE",
        description="The control plane's public keys: the agent believes it alone, and runs only [what it has "
        "signed](secrets.md#jobs-that-the-control-plane-signs); read again when it changes. Empty: whatever its pool "
        "is given.",
    )
    max_log_bytes: int = Field(
        default=MAX_LOG_BYTES,
        ge=1024,
        le=MAX_LOG_BYTES,
        validation_alias="HYBRIDCI_AGENT_MAX_LOG_BYTES",
        description="The longest log of an attempt, in bytes (1 GiB, which is also the most).",
    )
    max_artifact_bytes: int = Field(
        default=MAX_ARTIFACT_BYTES,
        ge=1,
        le=MAX_ARTIFACT_BYTES,
        validation_alias="HYBRIDCI_AGENT_MAX_ARTIFACT_BYTES",
        description="What the artifacts of an attempt may be in all, in bytes (1 GiB, which is also the most).",
    )
    cache_days: float = Field(
        default=14,
        gt=0,
        allow_inf_nan=False,
        validation_alias="HYBRIDCI_AGENT_CACHE_DAYS",
        description="A cached repository that was unused for so many days is removed.",
    )
    cache_bytes: int = Field(
        default=20 << 30,
        ge=0,
        validation_alias="HYBRIDCI_AGENT_CACHE_BYTES",
        description="Cached repositories are removed when they are more than so many bytes (20 GiB) in all.",
    )
    resume_seconds: float = Field(
        default=3600,
        ge=0,
        allow_inf_nan=False,
        validation_alias="HYBRIDCI_AGENT_RESUME_SECONDS",
        description="For how many seconds is kept what lost attempts left whose job [may "
        "resume](jobs.md#go-on-where-a-lost-agent-ended); 0: nothing is.",
    )
    resume_bytes: int = Field(
        default=20 << 30,
        ge=0,
        validation_alias="HYBRIDCI_AGENT_RESUME_BYTES",
        description="How many bytes (20 GiB) of [lost attempts](jobs.md#go-on-where-a-lost-agent-ended) are kept in "
        "all; the oldest goes first.",
    )
    git_protocols: str = Field(
        default="https,ssh,file",
        validation_alias="HYBRIDCI_AGENT_GIT_PROTOCOLS",
        description="Kinds of repository addresses, with commas. `http` and `git` may be added, over which anybody on "
        "the way can change what runs.",
    )
    metrics_address: MonitoringPlace = Field(
        default=None,
        validation_alias="HYBRIDCI_AGENT_METRICS_ADDRESS",
        description="Where it [says how it is](processes.md#health-and-metrics): `host:port`, or a port of this "
        "machine. Empty: nowhere.",
    )
    git_proxy: Literal["off", "read"] = Field(
        default="off",
        validation_alias="HYBRIDCI_AGENT_GIT_PROXY",
        description="`read`: steps [read the job's repositories](agents.md#reading-the-repository-in-steps) with the "
        "agent's credentials, without seeing them. `off`: they do not.",
    )
    log_level: str = Field(
        default="INFO",
        validation_alias="LOG_LEVEL",
        description="The least that is logged: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.",
    )

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
