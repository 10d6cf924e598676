"""The API as the dashboard asks it: requests within the process, with what the browser was let in by.

A page does nothing by itself: it shows what the API answers to this caller, and a form is a request to the API like any
other. So permissions, rules, limits and the trail are the API's alone. Deliberately not here: what pages look like.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import Message, Scope

from activities.chaining.once import Once, asking
from api.auth.csrf import CSRF_HEADER
from api.auth.principal import Principal
from api.http.problems import Problem
from api.http.proxies import FORWARDED

_HANDED_ON: Final = frozenset(
    {b"cookie", b"authorization", b"host", b"origin", b"sec-fetch-site", b"x-request-id"}
    | {name.encode() for name in FORWARDED}
)
_FIRST_BAD: Final = 400
MOST_BYTES: Final = 16 << 20
"""Of an answer; the API's own pages are far smaller."""
M = TypeVar("M", bound=BaseModel)


class RefusedByApi(Exception):
    """The API said no. ``body``: the problem with the members that are its own."""

    def __init__(self, problem: Problem, retry_after: str | None = None, body: bytes = b"{}") -> None:
        super().__init__(problem.detail)
        self.problem, self.retry_after, self.body = problem, retry_after, body


@dataclass(frozen=True, slots=True)
class InsideAnswer:
    """What the API answered."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]

    def header(self, name: str) -> str | None:
        """The last of this name, which is in lower case."""
        found = [value for key, value in self.headers if key.decode("latin-1").lower() == name]
        return found[-1].decode("latin-1") if found else None


class Inside:
    """The API for the caller of one page, which is of one moment: what it reads of the records twice is read once."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._asked = 0
        self._once: Once | None = Once() if request.method == "GET" else None
        self.caller: Principal | None = None
        """Who asks, once the API has told."""

    async def get(self, path: str, kind: type[M], query: Mapping[str, Any] | None = None) -> M:
        """What is there, as its model. ``query`` without what is None. Raises RefusedByApi."""
        return kind.model_validate_json((await self.ask("GET", path, query=query)).body)

    async def text(self, path: str, query: Mapping[str, Any] | None = None, *, most: int) -> InsideAnswer:
        """The answer as it is, of at most about so many bytes. Raises RefusedByApi."""
        return await self.ask("GET", path, query=query, most=most)

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, csrf: str = "", key: str = ""
    ) -> InsideAnswer:
        """Change something. ``csrf``: the token that the form holds; ``key``: what a form that is sent twice does once
        by. Raises RefusedByApi.
        """
        headers = {CSRF_HEADER: csrf, **({"idempotency-key": key} if key else {})}
        return await self.ask(method, path, body=body, headers=headers)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = MOST_BYTES,
    ) -> InsideAnswer:
        """One request. ``body``: as JSON; bytes as they are, their Content-Type in ``headers``. Raises RefusedByApi."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        scope = self._scope(method, path, query, headers or {}, content)
        if method != "GET":
            self._once = None  # what was read before is old
        with asking(self._once):
            answer = await _asked(self._request.app, scope, content, most)
        self.caller = scope.get("principal", self.caller)
        if answer.status >= _FIRST_BAD:
            raise RefusedByApi(_problem_of(answer), answer.header("retry-after"), answer.body)
        return answer

    def _scope(
        self, method: str, path: str, query: Mapping[str, Any] | None, headers: Mapping[str, str], content: bytes
    ) -> Scope:
        own, root = self._request.scope, self._request.scope.get("root_path", "")
        given = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        given += [(b"x-request-id", said)] if (said := own.get("request_id", "").encode()) else []
        names = {name for name, _ in given}
        kept = [(name, value) for name, value in own["headers"] if name in _HANDED_ON and name not in names]
        if content:
            given += [] if b"content-type" in {name for name, _ in given} else [(b"content-type", b"application/json")]
            given.append((b"content-length", str(len(content)).encode()))
        asked = {name: value for name, value in (query or {}).items() if value is not None and value != ""}
        self._asked += 1
        return {
            "type": "http", "asgi": own["asgi"], "http_version": "1.1", "scheme": own["scheme"],
            "method": method, "root_path": root, "path": root + path, "raw_path": quote(root + path).encode(),
            "query_string": urlencode(asked, doseq=True).encode(), "headers": [*kept, *given],
            "client": own["client"], "server": own["server"], "state": own.get("state", {}),
            "inside": self._asked,
        }  # fmt: skip


async def _asked(app: Any, scope: Scope, content: bytes, most: int) -> InsideAnswer:
    status, headers, body = 0, list[tuple[bytes, bytes]](), bytearray()

    told, enough = False, asyncio.Event()

    async def receive() -> Message:
        nonlocal told
        if told:
            await enough.wait()
            return {"type": "http.disconnect"}
        told = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if len(body) >= most:
                enough.set()

    await app(scope, receive, send)
    return InsideAnswer(status, bytes(body), headers)


def _problem_of(answer: InsideAnswer) -> Problem:
    return Problem.model_validate_json(answer.body)
