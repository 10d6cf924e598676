"""How to reach Temporal: the ecosystem's ``TEMPORAL_*`` variables and profile file, read by the SDK itself.

The SDK is large and the gateway needs nothing else of it, so a child process reads them and is gone again:
``python -m api.gateway.temporal_settings`` prints them as JSON into the pipe of its parent.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

from api.gateway.settings import GatewaySettingsError
from api.http.interpreter import leave, load_less

_READ_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class Tls:
    """TLS towards Temporal, in PEM; None: the system's own trust, no client certificate."""

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class TemporalSettings:
    """Where Temporal is. ``metadata`` goes with every call."""

    address: str
    namespace: str
    api_key: str | None = None
    tls: Tls | None = None
    metadata: tuple[tuple[str, str], ...] = ()


def read_temporal_settings() -> TemporalSettings:
    """From this process's environment. Raises SettingsError."""
    command = [sys.executable, "-P", "-m", "api.gateway.temporal_settings"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_READ_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise GatewaySettingsError("Reading Temporal's settings took more than a minute; try again.") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise GatewaySettingsError(
            f"Temporal's settings cannot be used; correct TEMPORAL_* or the profile file: {reason}"
        )
    return _from_json(json.loads(done.stdout))


def _from_json(found: dict[str, Any]) -> TemporalSettings:
    tls: dict[str, str | None] | None = found["tls"]
    if not found["address"]:
        raise GatewaySettingsError(
            "Nothing says where Temporal is: set TEMPORAL_ADDRESS to host:port of its frontend, before which the"
            " gateway stands."
        )
    return TemporalSettings(
        address=found["address"],
        namespace=found["namespace"] or "default",
        api_key=found["api_key"],
        tls=None
        if tls is None
        else Tls(_pem(tls["roots"]), _pem(tls["certificate"]), _pem(tls["key"]), tls["server_name"]),
        metadata=tuple((name.lower(), value) for name, value in found["metadata"].items()),
    )


def _pem(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def main() -> int:
    """The child: print the settings."""
    load_less()
    from temporalio.envconfig import ClientConfig
    from temporalio.service import TLSConfig

    config: dict[str, Any] = {**ClientConfig.load_client_connect_config()}
    tls = config.get("tls")
    given = tls if isinstance(tls, TLSConfig) else TLSConfig()
    pem = (given.server_root_ca_cert, given.client_cert, given.client_private_key)
    roots, certificate, key = (None if each is None else each.decode() for each in pem)
    names = {"roots": roots, "certificate": certificate, "key": key, "server_name": given.domain}
    found = {
        "address": config.get("target_host"),
        "namespace": config.get("namespace"),
        "api_key": config.get("api_key"),
        "tls": names if tls else None,
        "metadata": config.get("rpc_metadata") or {},
    }
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    leave(main())
