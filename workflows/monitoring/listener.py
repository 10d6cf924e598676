"""How a process without an HTTP API is asked how it is: `/health/live`, `/health/ready`, `/metrics`, no more.

It listens only where its operator says so, on a thread of its own, so that it answers also while the event loop stands
still: that is what `/health/live` tells. It takes no credentials and shows no secret; who must not see figures must not
reach it. Deliberately not here: what is well (``health``), the figures (each process), the API's own routes.
"""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from workflows.monitoring.address import LOOPBACK, MonitoringAddress
from workflows.monitoring.health import PartsHealth, ProcessHealth
from workflows.version import product_version

logger = logging.getLogger(__name__)

T = TypeVar("T")
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = "application/json"
_LIVE_SECONDS: Final = 5.0
_READY_SECONDS: Final = 8.0
_PATIENCE_SECONDS: Final = 10
"""For a request's bytes: whoever sends none is not waited for."""
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
        self._places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Without the look for this machine's name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Who comes when all places are taken is not kept waiting."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """On a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no matter of ours."""
        logger.debug("a request for health or metrics failed", exc_info=True)


_MISDIRECTED: Final = _Answer(HTTPStatus.MISDIRECTED_REQUEST, b'{"detail":"Ask by this machine\'s address."}')


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE_SECONDS
    server_version, sys_version = "hybridci", ""

    def do_GET(self) -> None:
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        self._send(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads who asked."""

    def _asked_by_a_known_name(self) -> bool:
        """A page in a browser whose own name was made to lead to this machine asks by that name (DNS rebinding)."""
        named = urlsplit(f"//{self.headers.get('Host', LOOPBACK)}").hostname or ""
        if not ip_address(self.connection.getsockname()[0]).is_loopback or named == "localhost":
            return True
        try:
            return bool(ip_address(named))
        except ValueError:
            return False

    def _send(self, *, with_body: bool) -> None:
        server = self.server
        if not isinstance(server, _Server):
            raise TypeError("this handler serves its own server")
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
