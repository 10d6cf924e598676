"""Temporal's side of the gateway: one channel, and what a call's metadata, deadline and error become on it.

The channel repairs itself; while Temporal is away every call fails at once with UNAVAILABLE, which SDKs repeat.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

import grpc
import grpc.aio

from api.gateway.limits import Seldom
from api.gateway.refusals import Refused, away
from api.gateway.temporal_settings import TemporalSettings

logger = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]

_FORWARDED: Final = frozenset(
    {"client-name", "client-version", "caller-type", "supported-features", "supported-server-versions"}
)
"""What an agent's SDK says about itself. Nothing else of an agent's metadata reaches Temporal, its token least."""
_DETAILS: Final = "grpc-status-details-bin"
_HEALTH: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
_MAX_ANSWER_BYTES: Final = 16 << 20
_OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", _MAX_ANSWER_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A Temporal whose host is gone, or a connection a firewall forgot, is noticed though only polls wait.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_OURS: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
"""From Temporal these are about the gateway's own credentials, for the agent has shown none to it."""


class Upstream:
    """Passes calls on to Temporal. ``close`` it at the end."""

    def __init__(self, settings: TemporalSettings) -> None:
        self.namespace, self.address = settings.namespace, settings.address
        self._channel = _channel(settings)
        self._calls: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}
        self._own: list[tuple[str, str | bytes]] = [*settings.metadata, ("temporal-namespace", settings.namespace)]
        if settings.api_key is not None:
            self._own.append(("authorization", f"Bearer {settings.api_key}"))
        self._seldom = Seldom()

    def start(
        self, method: str, request: bytes, metadata: Iterable[tuple[str, str | bytes]], seconds: float
    ) -> "grpc.aio.UnaryUnaryCall[bytes, bytes]":
        """Begin a call; await it for the answer's bytes, cancel it to give it up."""
        if method not in self._calls:
            self._calls[method] = self._channel.unary_unary(method)
        told = [(name, value) for name, value in metadata if name in _FORWARDED]
        return self._calls[method](request, timeout=seconds, metadata=[*told, *self._own])

    def refusal(self, error: grpc.aio.AioRpcError) -> Refused:
        """What the agent is told of Temporal's error: the same, but nothing of where Temporal is."""
        code, details = error.code(), error.details() or ""
        if code in _OURS:
            self._say(logging.ERROR, "Temporal refuses the gateway itself: check TEMPORAL_API_KEY and TLS", details)
            return away("Temporal does not let the gateway in; whoever runs the gateway must see to it.")
        if code is grpc.StatusCode.UNAVAILABLE:
            self._say(logging.WARNING, "Temporal does not answer", details)
            return away("Temporal does not answer the gateway at the moment: try again.")
        trailing = [(name, value) for name, value in error.trailing_metadata() or () if name == _DETAILS]
        return Refused(code, details, tuple(trailing))

    def reachable(self) -> bool:
        """False when the last attempt to connect failed."""
        state = self._channel.get_state(try_to_connect=True)
        return state not in {grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN}

    async def serves(self, seconds: float) -> bool:
        """True when Temporal answers now, and says that it serves."""
        try:
            return await self.start(_HEALTH, b"", (), seconds) == _SERVING
        except grpc.aio.AioRpcError:
            return False

    async def close(self) -> None:
        """Cancels what is under way."""
        await self._channel.close()

    def _say(self, level: int, what: str, details: str) -> None:
        if (more := self._seldom.may(what)) is not None:
            logger.log(level, what, extra={"reason": details, "not_told": more})


def _channel(settings: TemporalSettings) -> grpc.aio.Channel:
    tls = settings.tls
    if tls is None:
        return grpc.aio.insecure_channel(settings.address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.roots, tls.key, tls.certificate)
    named = [] if tls.server_name is None else [("grpc.ssl_target_name_override", tls.server_name)]
    return grpc.aio.secure_channel(settings.address, credentials, options=[*_OPTIONS, *named])
