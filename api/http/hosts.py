"""By which names this server is asked: a page whose own name was made to lead here (DNS rebinding) gets no answer.

A browser would take such a page for one of ours. Deliberately not here: who asks (``api.auth``).
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import ProblemCode, problem

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ANYBODY: Final = frozenset({"/health", "/health/ready"})
"""Load balancers ask for these by address; they say nothing that a port scan would not."""


def host_of(authority: str) -> str:
    """``Example.com:8000`` → ``example.com``; ``[::1]:8000`` → ``::1``."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def hosts_for(listens_on: str, allowed: Iterable[str], public_url: str | None) -> frozenset[str] | None:
    """The names that are answered; None: any. What only this machine reaches is asked by this machine's names."""
    named = {each.lower().rstrip(".") for each in allowed}
    if "*" in named or (not named and listens_on not in LOOPBACK_NAMES):
        return None
    if public_url is not None:
        named.add(host_of(public_url.partition("://")[2].partition("/")[0]))
    return LOOPBACK_NAMES | named


class KnownHosts:
    """Pure ASGI: 421 for a ``Host`` that is none of ours. ``*.example.com`` stands for every name below it."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._names = frozenset(each for each in hosts if not each.startswith("*."))
        self._below = tuple(each[1:] for each in hosts if each.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection. A browser always names the host, so who names none is no rebound page."""
        if scope["type"] == "http" and scope["path"] not in _ANYBODY:
            named = [value for name, value in scope["headers"] if name == b"host"]
            if any(not self._knows(each.decode("latin-1")) for each in named):
                host = Headers(scope=scope).get("host", "")[:100]
                detail = (
                    f"The host {host!r} is not a name of this server; its operator adds it to HYBRIDCI_ALLOWED_HOSTS."
                )
                await problem(Request(scope), ProblemCode.UNKNOWN_HOST, detail)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _knows(self, authority: str) -> bool:
        host = host_of(authority)
        return host in self._names or (bool(self._below) and host.endswith(self._below))
