"""Who is calling: tokens and the agents they stand for, as the API said within the last 30 s.

When the API does not answer, its last word holds for 5 minutes: jobs that run go on through its restart. A token that
was refused is refused. Tokens are remembered by their digest only.
Deliberately not here: the question to the API (``validation``), what a caller may do (``methods``).
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from api.gateway.limits import Bucket, Seldom
from api.gateway.refusals import away, denied, too_much, unknown
from api.gateway.validation import THREADS, ApiAwayError, Caller, NoAgent
from workflows.newest import Newest

logger = logging.getLogger(__name__)

FRESH_SECONDS: Final = 30.0
"""So long an answer is used; a token that is revoked ends within this."""
STALE_SECONDS: Final = 300.0
"""So long an answer is used while the API does not answer."""
_AHEAD_SECONDS: Final = 20.0
"""From here on an answer is renewed beside the call that uses it, so that calls do not wait for it."""
_AWAY_SECONDS: Final = 3.0
"""So long nothing new is asked about a token after the API did not answer."""
_PATIENCE_SECONDS: Final = 2.0
"""So long a call with a usable old answer waits for the new one."""
_MAX_REMEMBERED: Final = 20_000
_MAX_TOKEN: Final = 4096
_BURST: Final = 10
_PER_SECOND: Final = 0.2
"""Unknown tokens from one address: below what the API takes from one address, which to it is the gateway's."""

_REGISTER: Final = (
    "Show the token that registering gives: POST /api/agents/register with the pool's key; `hybridci agent` does it"
    " by itself."
)


class Asks(Protocol):
    """Where answers come from."""

    async def validate(self, token: str) -> Caller | NoAgent:
        """Whom the token stands for. Raises ApiAwayError."""
        ...


@dataclass(slots=True)
class _Answer:
    """What the API said last. ``asked_in_vain_at``: when it last did not answer, on the same clock."""

    said: Caller | NoAgent
    at: float
    asked_in_vain_at: float = -STALE_SECONDS


class Callers:
    """Tells agents by their tokens. One task per token asks, however many calls wait."""

    def __init__(
        self, api: Asks, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._api, self._clock, self._wall = api, clock, wall
        self._answers: Newest[bytes, _Answer] = Newest(_MAX_REMEMBERED)
        self._asking: dict[bytes, asyncio.Task[_Answer]] = {}
        self._strangers = Bucket(burst=_BURST, per_second=_PER_SECOND, clock=clock)
        self._seldom = Seldom(clock)

    async def caller(self, authorization: str | None, address: str) -> Caller:
        """The agent behind an ``authorization`` header that came from ``address``. Raises Refused."""
        token = _token(authorization)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._answers.get(digest)
        age = self._age(known)
        if known is not None and age < FRESH_SECONDS:
            if age >= _AHEAD_SECONDS:
                self._ask(digest, token)
            return self._agent(known)
        if known is None or isinstance(known.said, NoAgent):
            return self._agent(await self._of_stranger(digest, token, address))
        return self._agent(await self._again(digest, token, known))

    async def close(self) -> None:
        """Ends what is still being asked."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _of_stranger(self, digest: bytes, token: str, address: str) -> _Answer:
        if digest not in self._asking and (not self._strangers.has(address) or len(self._asking) >= THREADS * 4):
            raise too_much("Too many unknown tokens came from here lately: wait a few seconds, then try again.")
        try:
            answer = await asyncio.shield(self._ask(digest, token))
        except ApiAwayError as error:
            self._warn("cannot tell whether tokens are valid", error)
            raise away(
                "The control plane does not answer, so the token cannot be checked: try again shortly."
            ) from None
        if answer.said == NoAgent(known=False):
            self._strangers.take(address)
        return answer

    async def _again(self, digest: bytes, token: str, known: _Answer) -> _Answer:
        """The API's new word, or its last one while it does not answer."""
        reason = "it did not answer a moment ago"
        if self._clock() - known.asked_in_vain_at >= _AWAY_SECONDS:
            try:
                return await asyncio.wait_for(asyncio.shield(self._ask(digest, token)), _PATIENCE_SECONDS)
            except (ApiAwayError, TimeoutError) as error:
                known.asked_in_vain_at = self._clock()
                reason = str(error) or "it does not answer in time"
        if self._age(known) >= STALE_SECONDS or self._expired(known):
            raise away("The control plane has not answered for too long to trust this token: try again shortly.")
        self._warn("letting agents in on the API's last word", reason)
        return known

    def _ask(self, digest: bytes, token: str) -> "asyncio.Task[_Answer]":
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._learn(digest, token))
            task.add_done_callback(lambda done: self._asked(digest, done))
        return task

    async def _learn(self, digest: bytes, token: str) -> _Answer:
        answer = _Answer(await self._api.validate(token), self._clock())
        self._answers[digest] = answer
        return answer

    def _asked(self, digest: bytes, done: "asyncio.Task[_Answer]") -> None:
        del self._asking[digest]
        if not done.cancelled() and (error := done.exception()) is not None:
            if not isinstance(error, ApiAwayError):
                logger.error("checking a token failed", exc_info=error)
            if (known := self._answers.get(digest)) is not None:
                known.asked_in_vain_at = self._clock()

    def _agent(self, answer: _Answer) -> Caller:
        said = answer.said
        if isinstance(said, Caller):
            return said
        if said.known:
            raise denied(f"This key is no agent's: register first. {_REGISTER}")
        raise unknown(f"This token is not known here, has expired or was revoked. {_REGISTER}")

    def _age(self, answer: _Answer | None) -> float:
        return STALE_SECONDS if answer is None else self._clock() - answer.at

    def _expired(self, answer: _Answer) -> bool:
        expires_at = answer.said.expires_at if isinstance(answer.said, Caller) else None
        return expires_at is not None and self._wall() * 1000 >= expires_at

    def _warn(self, what: str, reason: object) -> None:
        if (more := self._seldom.may(what)) is not None:
            logger.warning(what, extra={"reason": str(reason), "not_told": more})


def _token(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise unknown(f"No token was sent. {_REGISTER}")
    if len(token) > _MAX_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise unknown(f"What was sent is no token. {_REGISTER}")
    return token
