"""Pure ASGI middleware: the request's id and outcome, and the limit on a body's size.

No ``BaseHTTPMiddleware``: it runs a task per request and breaks streaming.
"""

import logging
import re
import time
import uuid
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import ApiError, ProblemCode, internal_problem, problem
from api.http.metrics import Metrics
from workflows.contracts.attempts import MAX_ARTIFACT_BYTES, MAX_BUNDLE_BYTES, MAX_CHUNK_BYTES

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1 << 20
"""Of every body but an artifact's and a webhook's."""
MAX_WEBHOOK_BYTES: Final = 25 << 20
"""What GitHub sends at most, and no tool sends more."""
MAX_HEADER_BYTES: Final = 32 * 1024
_ARTIFACT: Final = re.compile(r"/api/queue/jobs/[^/]+/attempts/[^/]+/artifacts/")
_BUNDLE: Final = re.compile(r"/api/queue/jobs/[^/]+/attempts/[^/]+/artifact-bundles$")
_LOG_CHUNK: Final = re.compile(r"/api/queue/jobs/[^/]+/attempts/[^/]+/log/")
_HEARTBEAT: Final = re.compile(r"/api/agents/[^/]+/heartbeat$")
_WEBHOOKS: Final = "/api/webhooks/"
_OK: Final = 200
_UNLESS_SAID: Final = (
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Of what is no page: a browser that is led there runs and shows nothing of it within another page."""
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Outermost: gives each request an id, measures it, and answers for failures that nobody foresaw."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = list(message.get("headers", ()))
                more = [(b"x-request-id", request_id.encode("ascii")), (b"x-content-type-options", b"nosniff")]
                names = {name.lower() for name, _ in own}
                more += [(name, value) for name, value in _UNLESS_SAID if name not in names]
                message["headers"] = [*own, *more]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            logger.debug("client went away", extra={"request_id": request_id})
        except Exception:
            logger.exception("request failed", extra={"request_id": request_id, "path": scope["path"]})
            if status:
                raise  # the answer has begun: only closing the connection tells the client
            await internal_problem(Request(scope))(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.observe(scope, status, seconds)
            _log(scope, status, seconds)


class BodyLimit:
    """Refuses bodies above their limit with 413, by Content-Length at once and by counting otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length, header_bytes = None, 0
        for name, value in scope["headers"]:
            header_bytes += len(name) + len(value)
            if name == b"content-length" and value.isdigit():
                length = int(value[:20])
        refusal = self._refusal(scope, length, header_bytes)
        if refusal is not None:
            await problem(Request(scope), refusal.code, refusal.detail, headers=refusal.headers)(scope, receive, send)
            return
        await self._app(scope, _counted(receive, _limit(scope)), send)

    @staticmethod
    def _refusal(scope: Scope, length: int | None, header_bytes: int) -> ApiError | None:
        if header_bytes > MAX_HEADER_BYTES:
            return ApiError(ProblemCode.HEADERS_TOO_LARGE, f"Send at most {MAX_HEADER_BYTES} bytes of headers.")
        limit = _limit(scope)
        return _too_large(limit) if length is not None and length > limit else None


def _log(scope: Scope, status: int, seconds: float) -> None:
    """Who asked for a change is of interest for long; what agents deliver and people read, only when looking closer."""
    change = scope["method"] in {"POST", "PATCH", "DELETE"} and not (status == _OK and _HEARTBEAT.match(scope["path"]))
    level = logging.INFO if change else logging.DEBUG
    if logger.isEnabledFor(level):
        fields = {"request_id": scope["request_id"], "method": scope["method"], "path": scope["path"], "status": status}
        caller = getattr(scope.get("principal"), "id", None)
        logger.log(level, "request", extra={**fields, "caller": caller, "seconds": round(seconds, 4)})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return uuid.uuid4().hex


def is_upload(scope: Scope) -> bool:
    """True for what an agent uploads of an attempt: it may be large, and come over a slow line."""
    path = scope["path"]
    return scope["method"] == "PUT" and any(kind.match(path) for kind in (_ARTIFACT, _BUNDLE, _LOG_CHUNK))


def _limit(scope: Scope) -> int:
    if scope["method"] == "PUT":
        if _ARTIFACT.match(scope["path"]):
            return MAX_ARTIFACT_BYTES
        if _BUNDLE.match(scope["path"]):
            return MAX_BUNDLE_BYTES
        if _LOG_CHUNK.match(scope["path"]):
            return MAX_CHUNK_BYTES
    if scope["method"] == "POST" and scope["path"].startswith(_WEBHOOKS):
        return MAX_WEBHOOK_BYTES
    return MAX_BODY_BYTES


def _too_large(limit: int) -> ApiError:
    # Closing spares us the rest of a body that nobody will read.
    return ApiError(ProblemCode.TOO_LARGE, f"At most {limit} bytes are taken here.", headers={"Connection": "close"})


def _counted(receive: Receive, limit: int) -> Receive:
    total = 0

    async def receive_counted() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > limit:
                raise _too_large(limit)
        return message

    return receive_counted
