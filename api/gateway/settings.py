"""The gateway's settings, read once from the environment. Temporal's own are ``TEMPORAL_*`` (``temporal_settings``).

No pydantic here, on purpose: the gateway is to stay small, and what it needs of the others' settings is little.
"""

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from workflows.contracts.identity.secrets import Secret
from workflows.followed import Followed
from workflows.monitoring.address import MonitoringAddress, read_address

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
VARIABLES: Final[Mapping[str, str]] = {
    "HYBRIDCI_URL": "The API's address, by which agents' tokens are checked. Empty: `http://127.0.0.1:8000`.",
    "HYBRIDCI_GATEWAY_HOST": "The address that it listens on. Empty: `127.0.0.1`.",
    "HYBRIDCI_GATEWAY_PORT": "The port that it listens on; 0: any that is free. Empty: `7243`.",
    "HYBRIDCI_GATEWAY_KEY": "32 bytes or more that bind tasks to agents, the same for all gateways.",
    "HYBRIDCI_GATEWAY_KEY_FILE": "A file with `HYBRIDCI_GATEWAY_KEY`, or several, one a line, the newest first; read "
    "again when it changes.",
    "HYBRIDCI_GATEWAY_TLS": "`off`: something in front of it speaks TLS. Empty: `on`, with its certificate.",
    "HYBRIDCI_GATEWAY_TLS_CERT_FILE": "Its certificate, in PEM, and those that vouch for it; read again when it "
    "changes.",
    "HYBRIDCI_GATEWAY_TLS_KEY_FILE": "The key of its certificate, in PEM, without a password; read again when it "
    "changes.",
    "HYBRIDCI_GATEWAY_METRICS_ADDRESS": "Where it [says how it is](processes.md#health-and-metrics): `host:port`, or "
    "a port of this machine. Empty: nowhere.",
    "LOG_LEVEL": "The least that is logged: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`. Empty: `INFO`.",
}
"""Every variable that is read here, and what it means."""
MONITORING: Final = "HYBRIDCI_GATEWAY_METRICS_ADDRESS"
_SECRET_BYTES: Final = 32


class GatewaySettingsError(ValueError):
    """A setting is missing or cannot be used; the message says which one and what to do."""


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """What the gateway shows to agents, in PEM. ``chain``: its own certificate first."""

    key: bytes
    chain: bytes


@dataclass(frozen=True, slots=True, repr=False)
class GatewaySettings:
    """One gateway. ``secret`` binds task tokens, the same in every gateway of an installation."""

    url: str
    host: str
    port: int
    secret: Secret
    certificate: Callable[[], Certificate] | None
    log_level: str
    metrics_address: MonitoringAddress | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Raises SettingsError."""
        known = {name: value for name, value in environ.items() if value}
        return cls(
            url=_url(known.get("HYBRIDCI_URL", "http://127.0.0.1:8000")),
            host=known.get("HYBRIDCI_GATEWAY_HOST", "127.0.0.1"),
            port=_port(known.get("HYBRIDCI_GATEWAY_PORT", "7243")),
            secret=_followed_secret(known),
            certificate=_followed_certificate(known),
            log_level=known.get("LOG_LEVEL", "INFO"),
            metrics_address=_place(known.get(MONITORING)),
        )

    @property
    def address(self) -> str:
        """Where it listens, as gRPC and people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _url(text: str) -> str:
    try:
        parts = urlsplit(text.strip())
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number
        usable = False
    if not usable:
        raise GatewaySettingsError("HYBRIDCI_URL must be the API's address, such as http://127.0.0.1:8000.")
    return text.strip().rstrip("/")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6) or not 0 <= int(text) <= 65535:
        raise GatewaySettingsError("HYBRIDCI_GATEWAY_PORT must be a number from 0 to 65535.")
    return int(text)


def _place(text: str | None) -> MonitoringAddress | None:
    try:
        return None if text is None else read_address(text)
    except ValueError as error:
        raise GatewaySettingsError(f"{MONITORING} {error}.") from error


def _followed_secret(known: Mapping[str, str]) -> Secret:
    file = known.get("HYBRIDCI_GATEWAY_KEY_FILE")
    files = [] if file is None else [Path(file)]
    return Followed("HYBRIDCI_GATEWAY_KEY_FILE", files, lambda: _secrets(known)).now


def _secrets(known: Mapping[str, str]) -> Sequence[bytes]:
    """The newest first."""
    given, file = known.get("HYBRIDCI_GATEWAY_KEY"), known.get("HYBRIDCI_GATEWAY_KEY_FILE")
    if (given is None) is (file is None):
        raise GatewaySettingsError(
            "The gateway needs a secret that binds task tokens to agents: set HYBRIDCI_GATEWAY_KEY_FILE to a file with"
            " a random one (`openssl rand -hex 32`), or HYBRIDCI_GATEWAY_KEY to the secret itself, not both."
        )
    text = given.encode() if given is not None else _read("HYBRIDCI_GATEWAY_KEY_FILE", str(file))
    found = [line.strip() for line in text.splitlines() if line.strip()] or [b""]
    if any(len(secret) < _SECRET_BYTES for secret in found):
        raise GatewaySettingsError(
            f"The gateway's key (HYBRIDCI_GATEWAY_KEY) has fewer than {_SECRET_BYTES} characters: make a longer one."
        )
    return found


def _followed_certificate(known: Mapping[str, str]) -> Callable[[], Certificate] | None:
    if known.get("HYBRIDCI_GATEWAY_TLS", "on").lower() == "off":
        return None
    names = ("HYBRIDCI_GATEWAY_TLS_KEY_FILE", "HYBRIDCI_GATEWAY_TLS_CERT_FILE")
    files = [Path(known[name]) for name in names if name in known]
    return Followed(" and ".join(names), files, lambda: _certificate(known, names)).now


def _certificate(known: Mapping[str, str], names: tuple[str, str]) -> Certificate:
    for name in names:
        if name not in known:
            raise GatewaySettingsError(
                f"{name} is not set: agents show their tokens here, so the gateway speaks TLS. Name a key and a"
                " certificate, or set HYBRIDCI_GATEWAY_TLS=off where something in front of it does."
            )
    key, chain = (_read(name, known[name]) for name in names)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(known[names[1]], known[names[0]], password=_no_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise GatewaySettingsError(
            f"The certificate of HYBRIDCI_GATEWAY_TLS_CERT_FILE and the key of HYBRIDCI_GATEWAY_TLS_KEY_FILE cannot be"
            f" used together: both must be PEM, belong together, and the key have no password ({error})."
        ) from error
    return Certificate(key=key, chain=chain)


def _no_password() -> str:
    """Instead of asking on the terminal."""
    raise ValueError("the key has a password")


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise GatewaySettingsError(
            f"{name} names {path}, which cannot be read ({error.strerror}): name a file that this user may read."
        ) from error
