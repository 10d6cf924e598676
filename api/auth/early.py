"""Refuses, before anything is routed, what the guard would refuse anyway: a flood of unknown tokens from one address.

Deliberately not here: who is known (``authenticator``) and how often an address may be wrong (``limits``).
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.authenticator import Authenticator
from api.http.errors import problem

_GUARDED: Final = "/api/"
_OPEN: Final = ("/api/webhooks/", "/api/docs", "/api/openapi.json", "/api/schemas/")
_BEARER: Final = "bearer "


class EarlyRefusal:
    """Pure ASGI: costs a header's look while an address behaves, and a tenth of a routed request when it does not."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app, self._authenticator = app, authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED) and not scope["path"].startswith(_OPEN):
            address = scope["client"][0] if scope["client"] else None
            if self._authenticator.limits.was_wrong_too_often(address):
                presented = Headers(scope=scope).get("authorization", "")
                if presented[: len(_BEARER)].lower() == _BEARER:
                    refusal = self._authenticator.hopeless(presented[len(_BEARER) :].strip(), address=address)
                    if refusal is not None:
                        answer = problem(Request(scope), refusal.code, refusal.detail, headers=refusal.headers)
                        await answer(scope, receive, send)
                        return
        await self._app(scope, receive, send)
