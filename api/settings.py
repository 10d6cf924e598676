"""The API's settings, read once from the environment by its entry point.

Temporal's settings are ``TEMPORAL_*`` (read by temporalio's envconfig), the stores' are ``StoreSettings``, the secrets
of webhooks ``HYBRIDCI_WEBHOOK_SECRET_<PROVIDER>`` (``api.webhooks.secrets``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, IPvAnyNetwork, SecretStr, StringConstraints, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from api.auth.keys import FollowedKeyRing, KeyRing, UnusableKey
from api.auth.principal import Principal
from api.limit_settings import LimitSettings
from workflows.contracts.access import MAX_SESSION_SECONDS, SESSION_TTL_SECONDS, Role
from workflows.contracts.identity.secrets import Secret
from workflows.followed import Followed, keys_in

_SECRET_BYTES: Final = 32


HostAndPort = Annotated[str, StringConstraints(pattern=r"^[^\s/]+:[0-9]{1,5}$", strip_whitespace=True)]


class ApiSettings(LimitSettings):
    """Settings of one API process. A key is given as itself or as the name of a file that holds it, not both."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True)

    environment: str = Field(
        default="development",
        validation_alias="ENVIRONMENT",
        description="The installation's name, in its tables' names too; the same in all processes.",
    )
    log_level: str = Field(
        default="INFO",
        validation_alias="LOG_LEVEL",
        description="The least that is logged: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.",
    )
    host: str = Field(
        default="127.0.0.1", validation_alias="HYBRIDCI_HOST", description="The address that it listens on."
    )
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        validation_alias="HYBRIDCI_PORT",
        description="The port that it listens on; 0: any that is free.",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        validation_alias="HYBRIDCI_ADMIN_KEY",
        description="A key to begin with, which may do everything: 32 characters or more.",
    )
    admin_key_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_ADMIN_KEY_FILE",
        description="A file with `HYBRIDCI_ADMIN_KEY`, or several, one a line; read again when it changes.",
    )
    admin_owner: str | None = Field(
        default=None,
        validation_alias="HYBRIDCI_ADMIN_OWNER",
        description="Whose the admin key is, such as `ann@example.com`. Empty: `admin`.",
    )
    agent_key: SecretStr | None = Field(
        default=None,
        validation_alias="HYBRIDCI_AGENT_KEY",
        description="A key to begin with for agents of every pool: 32 characters or more.",
    )
    agent_key_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_AGENT_KEY_FILE",
        description="A file with `HYBRIDCI_AGENT_KEY`, or several, one a line; read again when it changes.",
    )

    signing_key: SecretStr | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SIGNING_KEY",
        description="Signs the leases of HTTP agents, and proves what the API sends to workflows: 32 characters or "
        "more, the same for all API processes and workers.",
    )
    signing_key_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SIGNING_KEY_FILE",
        description="A file with `HYBRIDCI_SIGNING_KEY`, or several, one a line, the newest first; read again when it "
        "changes.",
    )
    allow_self_approval: bool = Field(
        default=False,
        validation_alias="HYBRIDCI_ALLOW_SELF_APPROVAL",
        description="For one's own machine: whoever started a version may approve it, and an admin may name others "
        "(`--as`).",
    )
    gateway_public_address: HostAndPort | None = Field(
        default=None,
        validation_alias="HYBRIDCI_GATEWAY_PUBLIC_ADDRESS",
        description="The gateway that agents are told of when they register, as `host:port`. Empty: none.",
    )
    gateway_ca_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_GATEWAY_CA_FILE",
        description="The certificate, in PEM, by which agents that register know the gateway. Empty: it has one that "
        "every machine trusts.",
    )
    access_policy: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_ACCESS_POLICY",
        description="The [policy](access.md#people-and-workloads): who may sign in, and do what; read "
        "again when it changes. Empty: keys only.",
    )
    public_url: str | None = Field(
        default=None,
        validation_alias="HYBRIDCI_PUBLIC_URL",
        description="The address that people use, such as `https://ci.example.com`; "
        "[sign-in](access.md#people-and-workloads) needs it.",
    )
    session_ttl_seconds: int = Field(
        default=SESSION_TTL_SECONDS,
        ge=60,
        le=MAX_SESSION_SECONDS,
        validation_alias="SESSION_TTL_SECONDS",
        description="How long somebody stays signed in, in seconds: a minute to 30 days.",
    )
    temporal_ui_origin: Annotated[str, StringConstraints(pattern=r"^https?://[^/]+$")] | None = Field(
        default=None,
        validation_alias="HYBRIDCI_TEMPORAL_UI_ORIGIN",
        description="The Temporal UI whose pages may have [payloads "
        "decoded](secrets.md#unreadable-for-temporals-operator), such as `https://temporal.example.com`. "
        "Empty: none.",
    )
    temporal_ui_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$")] | None = Field(
        default=None,
        validation_alias="HYBRIDCI_TEMPORAL_UI_URL",
        description="The Temporal UI, which jobs link to: `https://temporal.example.com`, or with its namespace "
        "`…/namespaces/ci`.",
    )
    dashboard_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$")] | None = Field(
        default=None,
        validation_alias="HYBRIDCI_DASHBOARD_URL",
        description="Where the dashboard is, for links in the Temporal UI. Empty: `HYBRIDCI_PUBLIC_URL`. Jobs and "
        "deployments that start from then on have them.",
    )
    seal_public_keys_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_SEAL_PUBLIC_KEYS_FILE",
        description="The public keys by which [seals](audit.md#evidence) are verified, one a line. Empty: those that "
        "the seals name, and `verify` says so.",
    )
    webhook_manifests: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_WEBHOOK_MANIFESTS",
        description="A folder with [more tools](webhooks.md#tools) whose webhooks are taken. Empty: only the shipped "
        "ones.",
    )

    trusted_proxies: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        default_factory=list[IPvAnyNetwork],
        validation_alias="HYBRIDCI_TRUSTED_PROXIES",
        description="Addresses or networks of your reverse proxies, with commas, whose `X-Forwarded-For` says who the "
        "client is. Empty: none.",
    )

    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default_factory=list[str],
        validation_alias="HYBRIDCI_ALLOWED_HOSTS",
        description="The names by which it may be asked, with commas (`*.example.com`, `*` for any). Empty: on "
        "127.0.0.1 this machine's names and the host of `HYBRIDCI_PUBLIC_URL`; elsewhere any.",
    )

    disk_folders: Annotated[list[Path], NoDecode] = Field(
        default_factory=list[Path],
        validation_alias="HYBRIDCI_DISK_FOLDERS",
        description="Folders whose disks are watched, with commas. Empty: the temporary folder; under `up` the data "
        "directory too.",
    )
    storage_folder: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_STORAGE_FOLDER",
        description="The folder that `hybridci storage` measures. Empty: none; under `up` the data directory.",
    )
    disk_free_bytes: int = Field(
        default=256 << 20,
        ge=0,
        validation_alias="HYBRIDCI_DISK_FREE_BYTES",
        description="Bytes (256 MiB) that must be free on each disk of `HYBRIDCI_DISK_FOLDERS`.",
    )

    @field_validator("trusted_proxies", "allowed_hosts", "disk_folders", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Several, with commas between them."""
        return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value

    def temporal_workflows(self) -> str | None:
        """Where the Temporal UI shows workflows; its namespace is ``default`` where the address names none."""
        if self.temporal_ui_url is None:
            return None
        url = self.temporal_ui_url.rstrip("/")
        return f"{url if '/namespaces/' in url else f'{url}/namespaces/default'}/workflows"

    def key_ring(self) -> KeyRing:
        """The keys that callers may present, as they are now.

        Raises UnusableKey when there is none, or one cannot be read or is short.
        """
        admin = _read_keys("HYBRIDCI_ADMIN_KEY", self.admin_key, self.admin_key_file)
        agent = _read_keys("HYBRIDCI_AGENT_KEY", self.agent_key, self.agent_key_file)
        found = [*((key, Role.ADMIN) for key in admin), *((key, Role.AGENT) for key in agent)]
        for key, role in found:
            if key and len(key) < _SECRET_BYTES:
                raise UnusableKey(
                    f"The {role} key has {len(key)} characters, so it could be guessed; give"
                    f" HYBRIDCI_{role.upper()}_KEY a random one of {_SECRET_BYTES} or more: python3 -c 'import secrets;"
                    " print(secrets.token_urlsafe(32))'"
                )
        owners = {Role.ADMIN: self.admin_owner}
        principals = {
            role: Principal.everywhere(role.value, role, owner=owners.get(role), machine=role is Role.AGENT)
            for role in (Role.ADMIN, Role.AGENT)
        }
        return KeyRing([(key, principals[role]) for key, role in found])

    def known_keys(self) -> FollowedKeyRing:
        """The same, read again when a file changes. Raises UnusableKey."""
        names = {"HYBRIDCI_ADMIN_KEY_FILE": self.admin_key_file, "HYBRIDCI_AGENT_KEY_FILE": self.agent_key_file}
        files = {name: file for name, file in names.items() if file is not None}
        return FollowedKeyRing(
            Followed(" and ".join(files) or "HYBRIDCI_ADMIN_KEY", list(files.values()), self.key_ring)
        )

    def signing_secret(self) -> Sequence[bytes]:
        """What leases are signed with: shared by all API processes, at least 32 bytes each. None: not configured.

        Raises UnusableKey.
        """
        keys = _read_keys("HYBRIDCI_SIGNING_KEY", self.signing_key, self.signing_key_file)
        if any(len(key.encode()) < _SECRET_BYTES for key in keys):
            raise UnusableKey(f"HYBRIDCI_SIGNING_KEY must have at least {_SECRET_BYTES} characters; make a random one.")
        return [key.encode() for key in keys]

    def signing_keys(self) -> Secret | None:
        """The same, read again when the file changes; None: not configured. Raises UnusableKey."""
        if self.signing_key is None and self.signing_key_file is None:
            return None
        files = [] if self.signing_key_file is None else [self.signing_key_file]
        return Followed("HYBRIDCI_SIGNING_KEY_FILE", files, self.signing_secret).now

    def gateway_ca_pem(self) -> str | None:
        """The certificate by which agents know the gateway; None: it has one that every machine trusts.

        Raises UnusableKey.
        """
        if self.gateway_ca_file is None:
            return None
        try:
            return self.gateway_ca_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableKey(
                f"The certificate {self.gateway_ca_file} named by HYBRIDCI_GATEWAY_CA_FILE cannot be read: {error}."
            ) from error


def _read_keys(name: str, key: SecretStr | None, file: Path | None) -> Sequence[str]:
    if key is not None and file is not None:
        raise UnusableKey(f"Both {name} and {name}_FILE are set; keep one of them.")
    if key is not None:
        return [key.get_secret_value()]
    if file is None:
        return []
    try:
        found = keys_in(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableKey(f"The key file {file} named by {name}_FILE cannot be read: {error}.") from error
    if not found:
        raise UnusableKey(f"The key file {file} named by {name}_FILE is empty: put the key into it.")
    return found
