"""How slowly a body may come, and how many bodies may be on their way at once: for callers known and unknown alike.

A client has ``grace_seconds`` of patience, and earns them back with what it sends: in the long run it must keep
``bytes_per_second`` (the way of Apache's mod_reqtimeout), so a large file over a slow but honest line arrives, and a
byte now and then does not hold anything open. Only waiting for the client counts, not our own work. All but the uploads
of agents has a deadline besides. Bodies that come together with their head cost nothing and are never counted.
Deliberately not here: heads, and bodies that nobody reads (``protocol``); sizes (``middleware``).
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.addresses import network_of
from api.http.errors import ApiError, ProblemCode
from api.http.middleware import is_upload

_CLOSE: Final = {"Connection": "close"}
"""What is left of a body that is not waited for must not be taken for the next request."""
_RETRY_SECONDS: Final = 5
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Of one process. ``deadline_seconds`` is for everything but the artifacts and logs that agents upload."""

    grace_seconds: float = 20.0
    bytes_per_second: int = 1024
    deadline_seconds: float = 120.0
    per_address: int = 64
    in_all: int = 512


class BodyPace:
    """Pure ASGI: 408 for a body that comes too slowly, 429 and 503 for one too many."""

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app, self.limits = app, limits
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        body = _Body(self, scope, receive, send)
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            body.leave()

    def enter(self, network: str) -> None:
        """One more is waited for. Raises ApiError when it is one too many."""
        if self._open[network] >= self.limits.per_address:
            detail = f"{self.limits.per_address} bodies from your address are on their way already; let them arrive."
            raise _refusal(ProblemCode.TOO_MANY_REQUESTS, detail)
        if self._open.total() >= self.limits.in_all:
            raise _refusal(ProblemCode.OVERLOADED, "Too many bodies are on their way to this server; try again soon.")
        self._open[network] += 1

    def leave(self, network: str) -> None:
        """It is whole, or given up."""
        self._open[network] -= 1
        if not self._open[network]:
            del self._open[network]


class _Body:
    """One request's body on its way."""

    def __init__(self, pace: BodyPace, scope: Scope, receive: Receive, send: Send) -> None:
        self._pace, self._scope, self._inner, self._send = pace, scope, receive, send
        self._whole = self._answered = False
        self._network: str | None = None  # while it is counted
        self._patience = pace.limits.grace_seconds
        self._left = float("inf") if is_upload(scope) else pace.limits.deadline_seconds

    async def receive(self) -> Message:
        """As the server's; raises ApiError when what comes, comes too slowly."""
        if self._whole:
            return await self._inner()  # what comes now is that the client goes away
        message = await self._at_once() or await self._in_time()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._whole = True
            self.leave()
        return message

    async def send(self, message: Message) -> None:
        """As the server's."""
        self._answered = True
        await self._send(message)

    def leave(self) -> None:
        """Nothing is waited for any more."""
        if self._network is not None:
            self._pace.leave(self._network)
            self._network = None

    async def _at_once(self) -> Message | None:
        """What is there already."""
        try:
            async with asyncio.timeout(0):
                message = await self._inner()
        except TimeoutError:
            return None
        self._earn(message)
        return message

    async def _in_time(self) -> Message:
        if self._network is None:
            client = self._scope["client"]
            network = network_of(client[0] if client else None)
            self._pace.enter(network)
            self._network = network
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(min(self._patience, self._left)):
                message = await self._inner()
        except TimeoutError:
            if self._answered:  # nothing more can be said, so whoever reads on is told that nobody sends
                return {"type": "http.disconnect"}
            raise _too_slow(self._pace.limits) from None
        waited = clock() - began
        self._patience -= waited
        self._left -= waited
        self._earn(message)
        return message

    def _earn(self, message: Message) -> None:
        limits = self._pace.limits
        earned = len(message.get("body", b"")) / limits.bytes_per_second
        self._patience = min(limits.grace_seconds, self._patience + earned)


def _too_slow(limits: BodyLimits) -> ApiError:
    detail = (
        f"The body came too slowly: after {limits.grace_seconds:g} s at least {limits.bytes_per_second} bytes a second"
        f" are needed, and most bodies must be here within {limits.deadline_seconds:g} s. Send it again."
    )
    return ApiError(ProblemCode.BODY_TOO_SLOW, detail, headers=_CLOSE)


def _refusal(code: ProblemCode, detail: str) -> ApiError:
    return ApiError(code, detail, headers={**_CLOSE, "Retry-After": str(_RETRY_SECONDS)})
