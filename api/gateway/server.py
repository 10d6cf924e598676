"""The gateway as a gRPC server, from its start to its end.

It keeps nothing that matters: after a kill and a restart, on the same key, every task token is still good.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio

from api.auth.binding import TaskTokens
from api.gateway.handler import Gateway
from api.gateway.messages import Messages
from api.gateway.methods import MAX_MESSAGE_BYTES, Scope
from api.gateway.monitored import MonitoredGateway
from api.gateway.settings import LOOPBACK, Certificate, GatewaySettings, GatewaySettingsError
from api.gateway.temporal_settings import TemporalSettings
from api.gateway.tokens import Callers
from api.gateway.upstream import Upstream
from api.gateway.validation import Validator

logger = logging.getLogger(__name__)

READY: Final = "gateway ready"
"""What the log says once agents can connect."""
_GRACE_SECONDS: Final = 5.0
_MOST_CALLS: Final = 10_000
_ENVELOPE_BYTES: Final = 64
"""What binding adds to a task token."""
_OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.so_reuseport", 0),  # two gateways on one port would each get half of the agents, in silence
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES + _ENVELOPE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.max_concurrent_streams", 1000),
    # An agent whose host is gone must not be handed a task: its polls end here within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # SDKs ping every 30 s, also while nothing is under way.
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
]


async def serve(settings: GatewaySettings, temporal: TemporalSettings) -> None:
    """Until SIGTERM or Ctrl-C. Raises SettingsError when it cannot listen."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    tokens, messages = TaskTokens(settings.secret), Messages()
    validator, upstream = Validator(settings.url), Upstream(temporal)
    callers = Callers(validator)
    monitored = None if settings.metrics_address is None else MonitoredGateway(upstream, settings.metrics_address)
    gateway = Gateway(
        callers,
        upstream,
        lambda caller: Scope(caller, temporal.namespace, tokens, messages),
        answered=_nobody if monitored is None else monitored.answered,
    )
    server = grpc.aio.server(handlers=[gateway], options=_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
    try:
        port = _listen(server, settings)
        await server.start()
        upstream.reachable()  # begins to connect
        if monitored is not None:
            monitored.listen(gateway)
        facts = {"address": f"{settings.host}:{port}", "temporal": temporal.address, "namespace": temporal.namespace}
        logger.info(READY, extra=facts)
        await stop.wait()
        logger.info("stopping: takes nothing new, ends open polls, lets other calls end")
        stopped = asyncio.create_task(server.stop(_GRACE_SECONDS))
        gateway.stop_polls()
        await stopped
    finally:
        if monitored is not None:
            monitored.close()
        await callers.close()
        await upstream.close()
        validator.close()
    logger.info("stopped")


def _credentials(certificate: Callable[[], Certificate]) -> grpc.ServerCredentials:
    """Each handshake is with the certificate as it is then; connections that stand are not disturbed."""

    def now() -> grpc.ServerCertificateConfiguration:
        shown = certificate()
        return grpc.ssl_server_certificate_configuration([(shown.key, shown.chain)])

    return grpc.dynamic_ssl_server_credentials(now(), now, require_client_authentication=False)


def _nobody(_method: str, _status: str) -> None:
    """Nobody watches this gateway."""


def _listen(server: grpc.aio.Server, settings: GatewaySettings) -> int:
    """The port. Raises SettingsError."""
    certificate = settings.certificate
    try:
        _try_address(settings)  # says why it cannot, which gRPC does not
        if certificate is None:
            port = server.add_insecure_port(settings.address)
        else:
            port = server.add_secure_port(settings.address, _credentials(certificate))
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise GatewaySettingsError(
            f"it cannot listen on {settings.address} ({reason}); stop what listens there, or set HYBRIDCI_GATEWAY_HOST"
            " and HYBRIDCI_GATEWAY_PORT."
        ) from error
    if certificate is None and settings.host not in LOOPBACK:
        logger.warning(
            "HYBRIDCI_GATEWAY_TLS=off: agents' tokens cross the network unencrypted, and whoever sees one can take"
            " its agent's jobs. Only something in front of this gateway that speaks TLS makes this safe.",
            extra={"address": settings.address},
        )
    return port


def _try_address(settings: GatewaySettings) -> None:
    found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)
