"""The API's settings, read once from the environment by its entry point.

Temporal's settings are ``TEMPORAL_*`` (read by temporalio's envconfig), the stores' are ``StoreSettings``, the secrets
of webhooks ``HYBRIDCI_WEBHOOK_SECRET_<PROVIDER>`` (``api.webhooks.secrets``).
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.auth.keys import KeyRing, Principal, Role, UnusableKey


class ApiSettings(BaseSettings):
    """Settings of one API process. A key is given as itself or as the name of a file that holds it, not both."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True)

    environment: str = Field(default="development", validation_alias="ENVIRONMENT")
    log_level: str = Field(default="INFO", validation_alias="LOG_LEVEL")
    host: str = Field(default="127.0.0.1", validation_alias="HYBRIDCI_HOST")
    port: int = Field(default=8000, ge=0, le=65535, validation_alias="HYBRIDCI_PORT")
    admin_key: SecretStr | None = Field(default=None, validation_alias="HYBRIDCI_ADMIN_KEY")
    admin_key_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_ADMIN_KEY_FILE")
    agent_key: SecretStr | None = Field(default=None, validation_alias="HYBRIDCI_AGENT_KEY")
    agent_key_file: Path | None = Field(default=None, validation_alias="HYBRIDCI_AGENT_KEY_FILE")

    webhook_manifests: Path | None = Field(default=None, validation_alias="HYBRIDCI_WEBHOOK_MANIFESTS")

    def key_ring(self) -> KeyRing:
        """The keys callers may present. Raises UnusableKey when there is none or one cannot be read."""
        found = (
            (_read_key("HYBRIDCI_ADMIN_KEY", self.admin_key, self.admin_key_file), Role.ADMIN),
            (_read_key("HYBRIDCI_AGENT_KEY", self.agent_key, self.agent_key_file), Role.AGENT),
        )
        return KeyRing([(key, Principal(id=role.value, role=role)) for key, role in found if key is not None])


def _read_key(name: str, key: SecretStr | None, file: Path | None) -> str | None:
    if key is not None and file is not None:
        raise UnusableKey(f"Both {name} and {name}_FILE are set; keep one of them.")
    if key is not None:
        return key.get_secret_value()
    if file is None:
        return None
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableKey(f"The key file {file} named by {name}_FILE cannot be read: {error}.") from error
