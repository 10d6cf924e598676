"""Reading a job's own repositories from within its steps, without their credentials (HYBRIDCI_AGENT_GIT_PROXY=read).

While the steps of an attempt run, the agent listens on a port of 127.0.0.1 that the system chooses, and answers git's
requests for these repositories alone, at addresses that only the steps' environment has: ``git`` finds them by
``url.….insteadOf``. A running git shows its address to who may list processes, so connections of other users are
refused too, where the system says whose they are. What is answered comes from the server itself (``upstream``).
Pushing goes past here, with whatever credentials the step has.
Deliberately not here: which repositories (``checkout``), LFS.
"""

import asyncio
import hmac
import os
import re
import socket
import sys
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from agent.git.upstream import ReadableRepository, UpstreamFailed
from agent.steps.job_user import JobUser

_HOST: Final = "127.0.0.1"
_CONNECTIONS: Final = Path("/proc/net/tcp")
_HOST_DIGITS: Final = f"{int.from_bytes(socket.inet_aton(_HOST), sys.byteorder):08X}"
_MOST_BYTES: Final = 32 << 20
"""Of a request: the commits that a step has already, and those that it wants."""
_PLACE: Final = re.compile(r"/([A-Za-z0-9_-]+)/(\d{1,4})([^/]*)(/.*)")
_HTTP: Final = re.compile(r"https?://", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"^(https?://)[^/@]+@", re.IGNORECASE)
_COUNT: Final = "GIT_CONFIG_COUNT"
_NUMBER: Final = re.compile(r"[0-9]{1,6}")
_TEXT: Final = "text/plain; charset=utf-8"
_GZIP: Final = 31

_Message = dict[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class _Refused(Exception):
    """An answer without content; ``location`` for a step that means another repository."""

    def __init__(self, status: int, message: str, location: str | None = None) -> None:
        super().__init__(message)
        self.status, self.location = status, location


@asynccontextmanager
async def readable(
    repos: Sequence[str],
    *,
    word: str,
    protocols: tuple[str, ...],
    cookie: str,
    env: Mapping[str, str],
    user: JobUser | None = None,
) -> AsyncGenerator[dict[str, str]]:
    """Serve these repositories until the end of the block; what it gives to the steps' ``env`` besides.

    ``word`` cannot be guessed, and is the attempt's alone. ``user``: as whom steps run, None: as the agent. Raises
    OSError when no port can be had.
    """
    upstreams = [ReadableRepository(repo, protocols, cookie) for repo in dict.fromkeys(repos)]
    listener = socket.create_server((_HOST, 0))
    config = uvicorn.Config(
        _Loopback(word, upstreams, frozenset({0, os.geteuid() if user is None else user.uid})),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        limit_concurrency=64,
        timeout_keep_alive=5,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield _settings(f"http://{_HOST}:{listener.getsockname()[1]}", word, upstreams, env)
    finally:
        server.force_exit = True  # the steps have ended: nobody waits for an answer
        for task in list(server.server_state.tasks):
            task.cancel()
        await server.shutdown(sockets=[listener])


def _settings(
    address: str, word: str, upstreams: Sequence[ReadableRepository], env: Mapping[str, str]
) -> dict[str, str]:
    """As variables, behind those that are there: no file has the addresses, and they end with the steps."""
    pairs = [(f"http.{address}/.proxy", "")]
    for number, upstream in enumerate(upstreams):
        shown = _shown(upstream.repo)
        pairs.append((f"url.{address}/{word}/{number}.insteadOf", shown))
        pairs.append((f"url.{shown}.pushInsteadOf", shown))
    count = env.get(_COUNT, "")
    begin = int(count) if _NUMBER.fullmatch(count) else 0
    named = {
        f"GIT_CONFIG_{part}_{begin + number}": text
        for number, pair in enumerate(pairs)
        for part, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {_COUNT: str(begin + len(pairs)), **named}


def _shown(repo: str) -> str:
    """As ``origin`` has it in the workspace."""
    return _PASSWORD.sub(r"\1", repo)


@dataclass(frozen=True, slots=True)
class _Loopback:
    """The application: git's two requests for reading, and words for all else."""

    word: str
    upstreams: Sequence[ReadableRepository]
    users: frozenset[int]

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        try:
            if not await asyncio.to_thread(_is_of, self.users, scope["client"][1], scope["server"][1]):
                raise _Refused(403, "Only the user that this job's steps run as is answered here.")
            upstream, rest = self._place(scope["path"], scope["query_string"].decode("latin-1"))
            match scope["method"], rest:
                case "GET", "/info/refs?service=git-upload-pack":
                    self._require_version(scope)
                    said = b"001e# service=git-upload-pack\n0000" + await upstream.capabilities()
                    await _answer(send, 200, "application/x-git-upload-pack-advertisement", said)
                case "POST", "/git-upload-pack":
                    self._require_version(scope)
                    await _pass_on(send, upstream, await _body(scope, receive))
                case _ if "git-receive-pack" in rest:
                    raise _Refused(403, "Steps only read through the agent: push with credentials of the job's own.")
                case _:
                    raise _Refused(404, "Only git's own requests for reading are answered here.")
        except _Refused as refused:
            await _answer(send, refused.status, _TEXT, f"{refused}\n".encode(), location=refused.location)
        except UpstreamFailed as error:
            await _answer(send, 502, _TEXT, f"{error}\n".encode())

    def _place(self, path: str, query: str) -> tuple[ReadableRepository, str]:
        """Whose, and what is asked of it."""
        found = _PLACE.fullmatch(path)
        if found is None or not hmac.compare_digest(found[1], self.word) or int(found[2]) >= len(self.upstreams):
            raise _Refused(404, "There is nothing here.")
        upstream = self.upstreams[int(found[2])]
        rest = f"{found[4]}?{query}" if query else found[4]
        if found[3]:  # insteadOf goes by how an address begins: this one only begins like the job's
            other = f"{_shown(upstream.repo)}{found[3]}{rest}"
            raise _Refused(
                302 if _HTTP.match(other) else 404,
                "Not one of the job's repositories: it is read with the step's own credentials.",
                other if _HTTP.match(other) else None,
            )
        return upstream, rest

    def _require_version(self, scope: _Message) -> None:
        asked = dict(scope["headers"]).get(b"git-protocol", b"")
        if b"version=2" not in asked.split(b":"):
            raise _Refused(
                400, "Protocol 2 of git is needed here: git 2.26 or later, or `git config protocol.version 2`."
            )


def _is_of(users: frozenset[int], client: int, server: int) -> bool:
    """Whether the connection between these ports of 127.0.0.1 is of one of the users; True where nobody can tell."""
    try:
        lines = _CONNECTIONS.read_text().splitlines()
    except OSError:
        return True
    ends = [f"{_HOST_DIGITS}:{client:04X}", f"{_HOST_DIGITS}:{server:04X}"]
    return any(words[1:3] == ends and int(words[7]) in users for words in map(str.split, lines))


async def _pass_on(send: _Send, upstream: ReadableRepository, request: bytes) -> None:
    begun = False
    async with aclosing(upstream.answer(request)) as parts:  # whoever stops reading ends the program that answers
        async for part in parts:
            if not begun:
                begun = True
                await _begin(send, 200, "application/x-git-upload-pack-result")
            await send({"type": "http.response.body", "body": part, "more_body": True})
    if not begun:
        raise _Refused(502, "The repository's server ended without an answer.")
    await send({"type": "http.response.body"})


async def _body(scope: _Message, receive: _Receive) -> bytes:
    packed = dict(scope["headers"]).get(b"content-encoding", b"") in {b"gzip", b"x-gzip"}
    unpack = zlib.decompressobj(_GZIP) if packed else None
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(400, "The request is not whole.")
        data, more = message.get("body", b""), message.get("more_body", False)
        try:
            body += data if unpack is None else unpack.decompress(data, _MOST_BYTES - len(body) + 1)
        except zlib.error:
            raise _Refused(400, "The request is packed, but not as gzip packs.") from None
        if len(body) > _MOST_BYTES:
            raise _Refused(413, f"A request has {_MOST_BYTES >> 20} MiB at most.")
    return bytes(body)


async def _answer(send: _Send, status: int, kind: str, body: bytes, *, location: str | None = None) -> None:
    await _begin(send, status, kind, location)
    await send({"type": "http.response.body", "body": body})


async def _begin(send: _Send, status: int, kind: str, location: str | None = None) -> None:
    headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-cache")]
    if location is not None:
        with suppress(UnicodeEncodeError):
            headers.append((b"location", location.encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
