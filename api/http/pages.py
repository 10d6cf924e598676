"""What a page that we answer with may load and run, and that no other page frames it.

A page's own scripts are named by their digests, so that nothing else that got into it runs. Deliberately not here: what
the pages are, and the headers of all answers (``middleware``).
"""

import base64
import hashlib
import re
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_HTML: Final = b"text/html"


@lru_cache(maxsize=32)
def policy_for(page: bytes) -> str:
    """The Content-Security-Policy of a page: its own files, its own inline scripts, and requests to this server."""
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _SCRIPT.findall(page)]
    scripts = " ".join(("'self'", *(f"'sha256-{digest}'" for digest in digests)))
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class PageHeaders:
    """Pure ASGI: on every page its policy. Other answers pass as they come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None  # the head of a page, until its body has come
        body = bytearray()

        async def send_with_headers(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_page(message) and not _has_policy(message):
                held = message
                return
            if held is not None and message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if message.get("more_body", False):
                    return
                page = bytes(body)
                policy = (b"content-security-policy", policy_for(page).encode("ascii"))
                await send({**held, "headers": [*held["headers"], policy, (b"x-frame-options", b"DENY")]})
                held, message = None, {**message, "body": page}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _has_policy(start: Message) -> bool:
    return any(name.lower() == b"content-security-policy" for name, _ in start.get("headers", ()))


def _is_page(start: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(_HTML) for name, value in start.get("headers", ()))
