"""The API's process: ``hybridci api``. Exit code 0 after a signal, 2 when it cannot start as it is set up."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from pydantic import ValidationError

from activities.evidence.keys import UnusableSealKeyError, load_public_keys
from activities.stores.configured import check_configured
from activities.stores.open import open_stores
from activities.stores.settings import StoreSettings
from api.agents.schemas import GatewayAddress
from api.app import production_app
from api.auth.keys import KnownKeys, UnusableKey
from api.auth.sign_in import SignIn, open_sign_in
from api.auth.vouching import Voucher
from api.http.hosts import hosts_for
from api.http.interpreter import loaded
from api.http.protocol import BoundedProtocol
from api.identity.people import People
from api.settings import ApiSettings
from api.system.checks import disk_check
from api.webhooks.receive import Webhooks, open_webhooks
from workflows.contracts.agents import SERVER_KEEPS_CONNECTIONS_SECONDS
from workflows.contracts.identity.secrets import Secret
from workflows.log_setup import setup_logging
from workflows.payloads.codec import CodecSettings, load_codec
from workflows.settings_words import sentences

EXIT_OK: Final = 0
EXIT_UNUSABLE: Final = 2
_SHUTDOWN_SECONDS: Final = 5
"""For requests under way; followers of logs end by themselves within a second."""
_BACKLOG: Final = 2048


def run(settings: ApiSettings | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C. Without ``settings`` they come from the environment. Returns the exit code."""
    try:
        settings = settings or ApiSettings()
        stores = StoreSettings()
        check_configured(stores)
        setup_logging(settings.log_level, "api")
        keys, signing_key, gateway = settings.known_keys(), settings.signing_keys(), _gateway(settings)
        seal_keys = load_public_keys(settings.seal_public_keys_file)
        webhooks = open_webhooks(settings.webhook_manifests, os.environ)
        sign_in = open_sign_in(
            settings.access_policy,
            environment=settings.environment,
            host=settings.host,
            public_url=settings.public_url,
            session_seconds=settings.session_ttl_seconds,
        )
        listener = _listen(settings.host, settings.port)
    except (UnusableKey, UnusableSealKeyError, OSError, ValueError) as error:
        sys.stderr.write(f"hybridci api cannot start: {_reason(error)}\n")
        return EXIT_UNUSABLE
    started = _serve(settings, stores, keys, signing_key, seal_keys, webhooks, sign_in, gateway, listener)
    return EXIT_OK if started else EXIT_UNUSABLE


def _serve(
    settings: ApiSettings,
    stores: StoreSettings,
    keys: KnownKeys,
    signing_key: Secret | None,
    seal_keys: Mapping[str, str] | None,
    webhooks: Webhooks,
    sign_in: SignIn,
    gateway: GatewayAddress | None,
    listener: socket.socket,
) -> bool:
    """Until told to end. False when the application did not start; the log says why."""
    stop = _Stop()
    app = production_app(
        stores=open_stores(stores),
        keys=keys,
        signing_key=signing_key,
        seal_keys=seal_keys,
        rate_limits=settings.rate_limits(),
        bodies=settings.body_limits(),
        hosts=hosts_for(settings.host, settings.allowed_hosts, settings.public_url),
        environment=settings.environment,
        webhooks=webhooks,
        sign_in=sign_in,
        voucher=Voucher(People(lambda: sign_in.policy.people), signing_key, settings.allow_self_approval),
        gateway=gateway,
        codec=load_codec(CodecSettings()),
        temporal_ui=settings.temporal_ui_origin,
        temporal_workflows=settings.temporal_workflows(),
        dashboard=settings.dashboard_url or settings.public_url,
        storage_folder=settings.storage_folder,
        disk=disk_check(settings.disk_folders or [Path(tempfile.gettempdir())], settings.disk_free_bytes),
        stopping=lambda: stop.wanted,
    )
    server = _Server(server_config(app, [str(proxy) for proxy in settings.trusted_proxies]), stop)
    server.run(sockets=[listener])
    return server.started


def _gateway(settings: ApiSettings) -> GatewayAddress | None:
    """What agents that register are told of it. Raises UnusableKey."""
    if settings.gateway_public_address is None:
        return None
    return GatewayAddress(address=settings.gateway_public_address, ca_pem=settings.gateway_ca_pem())


@dataclass(slots=True)
class _Stop:
    """Whether the process was told to end."""

    wanted: bool = False


class _Server(uvicorn.Server):
    """Uvicorn, but a signal is a wish to end and not, after all is done, a death by that signal."""

    def __init__(self, config: uvicorn.Config, stop: _Stop) -> None:
        super().__init__(config)
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """What the application was built of stays: a look for garbage in it would hold up everybody for 60 ms."""
        await super().startup(sockets)
        loaded()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends gracefully; Ctrl-C a second time at once."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = self._stop.wanted = True


def server_config(app: object, trusted_proxies: list[str]) -> uvicorn.Config:
    """A client's address is that of its connection, unless a proxy that the operator named says another one."""
    return uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType]
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=SERVER_KEEPS_CONNECTIONS_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        http=BoundedProtocol,
        backlog=_BACKLOG,
        lifespan="on",
        ws="none",
    )


def _listen(host: str, port: int) -> socket.socket:
    """Raises OSError with a sentence."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(f"the address {host}:{port} cannot be used ({error}); set HYBRIDCI_HOST.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(
            f"it cannot listen on {host}:{port} ({error.strerror}); stop what listens there, or set HYBRIDCI_PORT."
        ) from error
    listener.set_inheritable(False)
    return listener


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(sentences(error))
    return str(error)
