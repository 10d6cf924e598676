"""Where a failure becomes an HTTP answer: the one table of codes and statuses, and the problem+json body (RFC 9457).

Every answer that is not a success has this body, whoever found the fault: a route, the framework, the guard or the
middleware. Unknown failures are logged in full and the client is told only an id to quote.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from workflows.contracts.errors import (
    MAX_FIELD_ERRORS,
    ErrorCode,
    FieldError,
    HybridCIError,
    ValidationFailed,
    field_errors,
)
from workflows.log_setup import without_tokens

logger = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
_MAX_TEXT: Final = 500


class ProblemCode(StrEnum):
    """Faults that only HTTP knows; the others are ``contracts.errors.ErrorCode``."""

    MALFORMED_BODY = "malformed_body"
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NO_JOBS_AVAILABLE = "no_jobs_available"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    STALE_LEASE = "stale_lease"
    LENGTH_REQUIRED = "length_required"
    PRECONDITION_FAILED = "precondition_failed"
    BODY_TOO_SLOW = "body_too_slow"
    TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    TOO_MANY_REQUESTS = "too_many_requests"
    HEADERS_TOO_LARGE = "headers_too_large"
    UNKNOWN_HOST = "unknown_host"
    OVERLOADED = "overloaded"
    DEGRADED = "degraded"
    INTERNAL = "internal_error"


_STATUS: Final[Mapping[str, tuple[int, str]]] = {
    ErrorCode.VALIDATION_FAILED: (422, "The request is not valid"),
    ErrorCode.NOT_FOUND: (404, "Not found"),
    ErrorCode.REMOVED_BY_POLICY: (410, "Removed by policy"),
    ErrorCode.INVALID_STATE: (409, "Not possible in this state"),
    ErrorCode.CONFLICT: (409, "The idempotency key stands for another request"),
    ErrorCode.UNAVAILABLE: (503, "A backing service does not answer"),
    ErrorCode.ACCEPTED: (202, "Accepted; its record follows"),
    ProblemCode.MALFORMED_BODY: (400, "The body cannot be read"),
    ProblemCode.BAD_REQUEST: (400, "Bad request"),
    ProblemCode.UNAUTHORIZED: (401, "A key is needed"),
    ProblemCode.FORBIDDEN: (403, "This key may not do that"),
    ProblemCode.NO_JOBS_AVAILABLE: (404, "No job is waiting"),
    ProblemCode.METHOD_NOT_ALLOWED: (405, "Method not allowed"),
    ProblemCode.STALE_LEASE: (409, "The lease is over"),
    ProblemCode.BODY_TOO_SLOW: (408, "The body comes too slowly"),
    ProblemCode.LENGTH_REQUIRED: (411, "Content-Length is needed"),
    ProblemCode.PRECONDITION_FAILED: (412, "It has another version now"),
    ProblemCode.TOO_LARGE: (413, "The body is too large"),
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: (415, "Unsupported media type"),
    ProblemCode.TOO_MANY_REQUESTS: (429, "Too many requests"),
    ProblemCode.UNKNOWN_HOST: (421, "No name of this server"),
    ProblemCode.HEADERS_TOO_LARGE: (431, "The headers are too large"),
    ProblemCode.INTERNAL: (500, "Internal error"),
    ProblemCode.OVERLOADED: (503, "Too much at once"),
    ProblemCode.DEGRADED: (503, "Not all of it is well"),
}
_CODE_BY_STATUS: Final = {
    400: ProblemCode.BAD_REQUEST,
    401: ProblemCode.UNAUTHORIZED,
    403: ProblemCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    413: ProblemCode.TOO_LARGE,
    415: ProblemCode.UNSUPPORTED_MEDIA_TYPE,
}


class ApiError(Exception):
    """A refusal that only HTTP knows: a missing key, a body too long, a wrong content type."""

    def __init__(
        self,
        code: ProblemCode,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.errors, self.headers = code, detail, errors, headers


def status_of(code: str) -> int:
    """The HTTP status of an error code."""
    return _STATUS[code][0]


def problem_body(
    code: str, detail: str, *, request_id: str, errors: Sequence[FieldError] = (), instance: str = ""
) -> dict[str, Any]:
    """The members of a problem document."""
    status, title = _STATUS[code]
    return {
        "type": f"urn:hybridci:problem:{code}",
        "title": title,
        "status": status,
        "detail": _shown(detail),
        "code": str(code),
        "errors": [
            {"field": _shown(error.field), "message": _shown(error.message)} for error in errors[:MAX_FIELD_ERRORS]
        ],
        "instance": _shown(instance),
        "request_id": request_id,
    }


def problem(
    request: Request,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """The answer for a failure. ``more``: members of its own kind (RFC 9457, 3.2)."""
    body = dict(more or {}) | problem_body(
        code, detail, request_id=request_id_of(request), errors=errors, instance=path_of(request)
    )
    extra = dict(headers or {})
    if body["status"] == 503:
        extra.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    # ASCII only: whatever strange text the client sent, the answer can be encoded.
    return Response(json.dumps(body).encode("ascii"), body["status"], extra, PROBLEM_MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    """The id that this request's log lines and answer carry."""
    return str(request.scope.get("request_id", ""))


def path_of(request: Request) -> str:
    """The address. Not ``request.url``, which fails for a query that is no UTF-8."""
    return str(request.scope["path"])


def internal_problem(request: Request) -> Response:
    """What a client is told about a failure that nobody foresaw. The caller has logged it."""
    detail = f"Something failed on our side. Quote {request_id_of(request)} when you report it; the log has the rest."
    return problem(request, ProblemCode.INTERNAL, detail)


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure a problem document."""
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        HybridCIError: _on_hybridci_error,
        ApiError: _on_api_error,
        RequestValidationError: _on_bad_parameters,
        HTTPException: _on_http_exception,
        ClientDisconnect: _on_disconnect,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _on_hybridci_error(request: Request, error: HybridCIError) -> Response:
    errors = error.errors if isinstance(error, ValidationFailed) else ()
    if status_of(error.code) == 503:
        logger.warning("unavailable", extra={"request_id": request_id_of(request), "detail": error.message})
    return problem(request, error.code, error.message, errors=errors)


async def _on_api_error(request: Request, error: ApiError) -> Response:
    return problem(request, error.code, error.detail, errors=error.errors, headers=error.headers)


async def _on_bad_parameters(request: Request, error: RequestValidationError) -> Response:
    """Query, path and header parameters; bodies are read by ``api.http.bodies``."""
    found = [
        found.model_copy(update={"field": found.field.partition(".")[2] or "body"})  # without query, path or header
        for found in field_errors(error)
    ]
    names = ", ".join(item.field for item in found)
    return problem(request, ErrorCode.VALIDATION_FAILED, f"Correct these parameters: {names}.", errors=found)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    code = _CODE_BY_STATUS.get(error.status_code, ProblemCode.BAD_REQUEST)
    detail = {
        404: "There is nothing at this address; GET /api/docs lists all addresses.",
        405: f"This address does not take {request.method}; see the Allow header.",
    }.get(error.status_code, str(error.detail))
    headers = {"Allow": ", ".join(_methods_at(request))} if error.status_code == 405 else error.headers
    return problem(request, code, detail, headers=headers)


async def _on_disconnect(request: Request, error: ClientDisconnect) -> Response:
    """The client went away in the middle of its body: nobody reads this answer."""
    return problem(request, ProblemCode.BAD_REQUEST, "The connection ended before the body did.")


def _methods_at(request: Request) -> list[str]:
    """Every method of an address: the framework names only those of the first route it found, and no HEAD, which is
    answered wherever GET is (``api.http.head``).
    """
    path = path_of(request)
    found = [context for context in iter_route_contexts(request.app.routes) if _leads_to(context, path)]
    exact = [context for context in found if context.path == path]
    methods = {method for context in exact or found for method in context.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set[str]()))


def _leads_to(context: RouteContext, path: str) -> bool:
    return context.path_regex is not None and context.path_regex.match(path) is not None


def _shown(text: str) -> str:
    text = without_tokens(text)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
