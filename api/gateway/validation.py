"""Asking the API whom a token stands for: ``POST /auth/validate`` with the token as the bearer.

Python's own HTTP client in a few threads: one question per agent in 20 s needs no more, and costs no memory.
Deliberately not here: remembering answers (``tokens``).
"""

import asyncio
import http.client
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

from workflows.version import product_version

logger = logging.getLogger(__name__)

THREADS: Final = 8
_SECONDS: Final = 5.0
_MAX_ANSWER: Final = 64 << 10


class ApiAwayError(Exception):
    """The API gave no usable answer; the text says which."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A registered agent. ``expires_at``: of its token, epoch milliseconds."""

    agent_id: str
    pool: str
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class NoAgent:
    """The API does not know the token (``known`` False), or it belongs to somebody who is no registered agent."""

    known: bool


class Validator:
    """Asks one API. Safe to use from many tasks at once; ``close`` it at the end."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect: Callable[[], http.client.HTTPConnection] = lambda: kind(
            str(parts.hostname), parts.port, timeout=_SECONDS
        )
        self._path = f"{parts.path}/auth/validate"
        self._name = f"hybridci-gateway/{product_version()}"  # by which the API tells its version
        self._idle: list[http.client.HTTPConnection] = []
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="validate")

    async def validate(self, token: str) -> Caller | NoAgent:
        """Whom the token stands for. Raises ApiAwayError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, token)

    def close(self) -> None:
        """Drop the connections; does not wait for questions under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def _ask(self, token: str) -> Caller | NoAgent:
        try:
            status, content = self._request(token)
        except (OSError, http.client.HTTPException) as error:
            raise ApiAwayError(f"the API does not answer ({type(error).__name__}: {error})") from error
        if status in {401, 403}:
            return NoAgent(known=status == 403)
        if status != 200:
            raise ApiAwayError(f"the API answers /auth/validate with status {status}")
        return _caller(content)

    def _request(self, token: str) -> tuple[int, bytes]:
        """On a connection that was kept; the API may have closed it meanwhile, so a second time on a new one."""
        kept = self._kept()
        if kept is not None:
            try:
                return self._exchange(kept, token)
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException) as error:
                logger.debug("the API closed a kept connection", extra={"error": str(error)})
        return self._exchange(self._connect(), token)

    def _kept(self) -> http.client.HTTPConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _exchange(self, connection: http.client.HTTPConnection, token: str) -> tuple[int, bytes]:
        try:
            headers = {"Authorization": f"Bearer {token}", "User-Agent": self._name}
            connection.request("POST", self._path, body=b"", headers=headers)
            answer = connection.getresponse()
            content = answer.read(_MAX_ANSWER)
            whole = answer.isclosed()
        except BaseException:
            connection.close()
            raise
        if whole and len(self._idle) < THREADS:
            self._idle.append(connection)
        else:
            connection.close()
        return answer.status, content


def _caller(content: bytes) -> Caller | NoAgent:
    """From ``contracts.access.Validated``."""
    try:
        found: Any = json.loads(content)
    except ValueError as error:
        raise ApiAwayError("the API's answer to /auth/validate is no JSON") from error
    if not isinstance(found, dict):
        raise ApiAwayError("the API's answer to /auth/validate is no object")
    answer = cast(dict[str, object], found)
    agent_id, pool, expires_at = (answer.get(name) for name in ("agent_id", "pool", "expires_at"))
    if answer.get("kind") != "agent" or not isinstance(agent_id, str) or not isinstance(pool, str):
        return NoAgent(known=True)
    if not agent_id or not pool:
        return NoAgent(known=True)
    return Caller(agent_id, pool, expires_at if isinstance(expires_at, int) else None)
