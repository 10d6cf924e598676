"""How a process without an HTTP API is asked how it is: `/health/live`, `/health/ready`, `/metrics`, no more.

It listens only where its operator says so, on a thread of its own, so that it answers also while the event loop stands
still: that is what `/health/live` tells. It takes no credentials and shows no secret; who must not see figures must not
reach it. Deliberately not here: what is well (``health``), the figures (each process), the API's own routes.
"""

import asyncio
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from workflows.monitoring.address import LOOPBACK, MonitoringAddress
from workflows.monitoring.health import PartsHealth, ProcessHealth
from workflows.version import product_version

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

logger = logging.getLogger(__name__)

T = TypeVar("T")
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = "application/json"
_LIVE_SECONDS: Final = 5.0
_READY_SECONDS: Final = 8.0
_PATIENCE_SECONDS: Final = 5.0
"""For all of a request's bytes together, and again for all of the answer's, however often one of them comes."""
_MOST_AT_ONCE: Final = 16


class ListenerError(ValueError):
    """It cannot listen there; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = _JSON


class MonitoringListener:
    """One process's. Made on its event loop, which it asks; ``close`` it at the end.

    ``metrics``: the text that Prometheus reads, made on the listener's thread. Raises ListenerError.
    """

    def __init__(
        self, address: MonitoringAddress, setting: str, health: ProcessHealth, metrics: Callable[[], bytes]
    ) -> None:
        self._health, self._metrics = health, metrics
        self._loop = asyncio.get_running_loop()
        try:
            self._server = _Server(address, self._answer)
        except OSError as error:
            raise ListenerError(
                f"{setting}: cannot listen on {address.written} ({error.strerror or error}); stop what listens there, "
                "or name another address."
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitoring", daemon=True)
        self._thread.start()
        logger.info("health and metrics can be read", extra={"address": address.written})

    @property
    def port(self) -> int:
        """On which it listens."""
        return int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        """Listens no more."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str) -> _Answer:
        match path.partition("?")[0]:
            case "/health" | "/health/live":
                return self._live()
            case "/health/ready":
                return self._ready()
            case "/metrics":
                return _Answer(HTTPStatus.OK, self._metrics(), METRICS_TYPE)
            case _:
                return _Answer(
                    HTTPStatus.NOT_FOUND, b'{"detail":"There are /health/live, /health/ready and /metrics here."}'
                )

    def _live(self) -> _Answer:
        try:
            self._on_loop(asyncio.sleep(0), _LIVE_SECONDS)
        except (TimeoutError, CancelledError, RuntimeError):
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, "stuck", {"process": "has stood still for 5 s: restart it"})
        return _said(HTTPStatus.OK, "alive")

    def _ready(self) -> _Answer:
        try:
            found = self._on_loop(self._health.now(), _READY_SECONDS)
        except (TimeoutError, CancelledError, RuntimeError):
            found = PartsHealth({"process": "stands still"}, {})
        if found.wrong:
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, "not ready", found.wrong, found.noted)
        return _said(HTTPStatus.OK, "ready", {}, found.noted)

    def _on_loop(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise


def _said(
    status: HTTPStatus, word: str, wrong: Mapping[str, str] | None = None, noted: Mapping[str, str] | None = None
) -> _Answer:
    said: dict[str, object] = {"status": word, "version": product_version()}
    if wrong:
        said["wrong"] = dict(wrong)
    if noted:
        said["noted"] = dict(noted)
    return _Answer(status, json.dumps(said).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = _MOST_AT_ONCE

    def __init__(self, address: MonitoringAddress, answer: Callable[[str], _Answer]) -> None:
        self.answer = answer
        self._lock = threading.Lock()
        self._asking = dict[socket.socket, None]()
        """Whose request is not whole yet, the oldest first."""
        self._answered = set[socket.socket]()
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Without the look for this machine's name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """When all places are taken, who has been asking for longest makes room: who asks at once is always heard."""
        with self._lock:
            if len(self._asking) + len(self._answered) >= _MOST_AT_ONCE:
                slowest = next(iter(self._asking), None)
                if slowest is None:
                    self.shutdown_request(request)
                    return
                del self._asking[slowest]
                with suppress(OSError):
                    slowest.shutdown(socket.SHUT_RDWR)
            self._asking[request] = None
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """On a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._asking.pop(request, None)
                self._answered.discard(request)

    def has_asked(self, request: socket.socket) -> bool:
        """Its request is whole. False when it had to make room before."""
        with self._lock:
            if request not in self._asking:
                return False
            del self._asking[request]
            self._answered.add(request)
            return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no matter of ours."""
        logger.debug("a request for health or metrics failed", exc_info=True)


_MISDIRECTED: Final = _Answer(HTTPStatus.MISDIRECTED_REQUEST, b'{"detail":"Ask by this machine\'s address."}')


class _Incoming(io.RawIOBase):
    """What a client sends. Raises TimeoutError once all of it together has taken too long."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._until = connection, time.monotonic() + _PATIENCE_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "hybridci", ""

    def setup(self) -> None:
        """With a limit for the whole request: the library's own begins anew with each byte."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Incoming(self.connection))

    def do_GET(self) -> None:
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        self._send(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads who asked."""

    def _asked_by_a_known_name(self) -> bool:
        """A page in a browser whose own name was made to lead to this machine asks by that name (DNS rebinding)."""
        try:
            named = urlsplit(f"//{self.headers.get('Host', LOOPBACK)}").hostname or ""
            asked = ip_address(self.connection.getsockname()[0])
            asked = getattr(asked, "ipv4_mapped", None) or asked  # as it is called where both kinds are listened to
            if not asked.is_loopback or named == "localhost":
                return True
            return bool(ip_address(named))
        except ValueError:
            return False

    def _send(self, *, with_body: bool) -> None:
        server = self.server
        if not isinstance(server, _Server):
            raise TypeError("this handler serves its own server")
        if not server.has_asked(self.connection):
            return
        self.connection.settimeout(_PATIENCE_SECONDS)
        try:
            answer = server.answer(self.path) if self._asked_by_a_known_name() else _MISDIRECTED
        except Exception:
            logger.exception("a request for health or metrics failed")
            answer = _said(HTTPStatus.INTERNAL_SERVER_ERROR, "failed")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)
