"""What goes wrong where a person looks is a page: no such address, too large a form, a refused sign-in, our failures.

Outermost, so that nothing is left out. Deliberately not here: what the API refuses to a page (``answers.refused``).
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dashboard.answers import problem_page
from api.http.errors import PROBLEM_MEDIA_TYPE
from api.http.problems import Problem

_NOT_PAGES: Final = ("/api/", "/auth/", "/health", "/metrics", "/info")


class ProblemPages:
    """Pure ASGI: turns problem documents into pages for browsers. Other answers pass as they come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not _is_page(scope):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = bytearray()

        async def send_as_page(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            problem = Problem.model_validate_json(bytes(body))
            page = problem_page(Request(scope), problem, Headers(raw=start["headers"]).get("retry-after"))
            await page(scope, receive, _with_more(send, start))

        await self._app(scope, receive, send_as_page)


def _with_more(send: Send, told: Message) -> Send:
    kept = [(name, value) for name, value in told["headers"] if name in {b"x-request-id", b"allow"}]
    kept.append((b"x-content-type-options", b"nosniff"))

    async def send_with_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *kept]}
        await send(message)

    return send_with_more


def _is_page(scope: Scope) -> bool:
    """Also of the API, for a person whose browser goes there: back from an issuer, or after a link to a file."""
    headers, path = Headers(scope=scope), scope["path"].removeprefix(scope.get("root_path", ""))
    return (
        "inside" not in scope
        and (not path.startswith(_NOT_PAGES) or headers.get("sec-fetch-mode") == "navigate")
        and "text/html" in headers.get("accept", "")
    )


def _is_problem(start: Message) -> bool:
    media = PROBLEM_MEDIA_TYPE.encode()
    return any(name == b"content-type" and value.startswith(media) for name, value in start.get("headers", ()))
