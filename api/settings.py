"""The API's settings, read once from the environment by its entry point.

Temporal's settings are ``TEMPORAL_*`` (read by temporalio's envconfig), the stores' are ``StoreSettings``, the secrets
of webhooks ``HYBRIDCI_WEBHOOK_SECRET_<PROVIDER>`` (``api.webhooks.secrets``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, IPvAnyNetwork, SecretStr, StringConstraints, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api.auth.keys import FollowedKeyRing, KeyRing, UnusableKey
from api.auth.limits import RateLimits
from api.auth.principal import Principal
from api.http.pace import BodyLimits
from workflows.contracts.access import MAX_SESSION_SECONDS, SESSION_TTL_SECONDS, Role
from workflows.contracts.identity.secrets import Secret
from workflows.followed import Followed, keys_in

_SECRET_BYTES: Final = 32


HostAndPort = Annotated[str, StringConstraints(pattern=r"^[^\s/]+:\d{1,5}$", strip_whitespace=True)]


class ApiSettings(BaseSettings):
    """Settings of one API process. A key is given as itself or as the name of a file that holds it, not both."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True)

    environment: str = Field(default="development", validation_alias="ENVIRONMENT")
    log_level: str = Field(default="INFO", validation_alias="LOG_LEVEL")
    host: str = Field(default="127.0.0.1", validation_alias="HYBRIDCI_HOST")
    port: int = Field(default=8000, ge=0, le=65535, validation_alias="HYBRIDCI_PORT")
    admin_key: SecretStr | None = Field(default=None, validation_alias="HYBRIDCI_ADMIN_KEY")
    admin_key_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_ADMIN_KEY_FILE")
    admin_owner: str | None = Field(default=None, validation_alias="HYBRIDCI_ADMIN_OWNER")
    agent_key: SecretStr | None = Field(default=None, validation_alias="HYBRIDCI_AGENT_KEY")
    agent_key_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_AGENT_KEY_FILE")

    signing_key: SecretStr | None = Field(default=None, validation_alias="HYBRIDCI_SIGNING_KEY")
    signing_key_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_SIGNING_KEY_FILE")
    allow_self_approval: bool = Field(default=False, validation_alias="HYBRIDCI_ALLOW_SELF_APPROVAL")
    gateway_public_address: HostAndPort | None = Field(default=None, validation_alias="HYBRIDCI_GATEWAY_PUBLIC_ADDRESS")
    gateway_ca_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_GATEWAY_CA_FILE")
    access_policy: Path | None = Field(default=None, validation_alias="HYBRIDCI_ACCESS_POLICY")
    public_url: str | None = Field(default=None, validation_alias="HYBRIDCI_PUBLIC_URL")
    session_ttl_seconds: int = Field(
        default=SESSION_TTL_SECONDS, ge=60, le=MAX_SESSION_SECONDS, validation_alias="SESSION_TTL_SECONDS"
    )
    temporal_ui_origin: Annotated[str, StringConstraints(pattern=r"^https?://[^/]+$")] | None = Field(
        default=None, validation_alias="HYBRIDCI_TEMPORAL_UI_ORIGIN"
    )
    temporal_ui_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$")] | None = Field(
        default=None, validation_alias="HYBRIDCI_TEMPORAL_UI_URL"
    )
    dashboard_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$")] | None = Field(
        default=None, validation_alias="HYBRIDCI_DASHBOARD_URL"
    )
    seal_public_keys_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_SEAL_PUBLIC_KEYS_FILE")
    webhook_manifests: Path | None = Field(default=None, validation_alias="HYBRIDCI_WEBHOOK_MANIFESTS")

    trusted_proxies: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        default_factory=list[IPvAnyNetwork], validation_alias="HYBRIDCI_TRUSTED_PROXIES"
    )

    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default_factory=list[str], validation_alias="HYBRIDCI_ALLOWED_HOSTS"
    )

    rate_limit: int = Field(default=3000, ge=0, validation_alias="HYBRIDCI_RATE_LIMIT")
    rate_limit_reads: int = Field(default=6000, ge=0, validation_alias="HYBRIDCI_RATE_LIMIT_READS")
    rate_limit_agents: int = Field(default=60_000, ge=0, validation_alias="HYBRIDCI_RATE_LIMIT_AGENTS")
    rate_limit_failures: int = Field(default=30, ge=0, validation_alias="HYBRIDCI_RATE_LIMIT_FAILURES")

    body_grace: float = Field(default=20, ge=1, le=3600, validation_alias="HYBRIDCI_BODY_GRACE_SECONDS")
    body_rate: int = Field(default=1024, ge=1, validation_alias="HYBRIDCI_BODY_BYTES_PER_SECOND")
    body_deadline: float = Field(default=120, ge=1, validation_alias="HYBRIDCI_BODY_DEADLINE_SECONDS")
    bodies_per_address: int = Field(default=64, ge=1, validation_alias="HYBRIDCI_OPEN_BODIES_PER_ADDRESS")
    bodies_in_all: int = Field(default=512, ge=1, validation_alias="HYBRIDCI_OPEN_BODIES")

    disk_folders: Annotated[list[Path], NoDecode] = Field(
        default_factory=list[Path], validation_alias="HYBRIDCI_DISK_FOLDERS"
    )
    storage_folder: Path | None = Field(default=None, validation_alias="HYBRIDCI_STORAGE_FOLDER")
    disk_free_bytes: int = Field(default=256 << 20, ge=0, validation_alias="HYBRIDCI_DISK_FREE_BYTES")

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

    def rate_limits(self) -> RateLimits:
        """Changes, reads and agents' requests a minute with one credential, unknown ones from one address; 0: any
        number.
        """
        return RateLimits(self.rate_limit, self.rate_limit_reads, self.rate_limit_agents, self.rate_limit_failures)

    def body_limits(self) -> BodyLimits:
        """How slowly bodies may come, and how many at once."""
        return BodyLimits(
            self.body_grace, self.body_rate, self.body_deadline, self.bodies_per_address, self.bodies_in_all
        )

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
