"""A repository's server as git's own programs speak to it, with the agent's credentials: reading, request by request.

For http(s) it is git's remote helper, which asks the credential helpers, trusts what git trusts and goes through git's
proxies; for ssh the ssh command that git would use; for a folder ``git upload-pack``. All are asked for protocol 2 of
git (gitprotocol-v2), of which every request stands for itself, and for ``git-upload-pack``, which only reads.
So no credential is ever in the hands of this module, nor of whoever it answers (``loopback``).
"""

import asyncio
import os
import re
import shlex
import signal
from asyncio.subprocess import SubprocessStreamProtocol
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from agent.git.command import GitCall, Patience, fetch_environment, git_output, with_settings
from agent.git.errors import CheckoutError, explain, redact
from agent.steps import orphans

_NOWHERE: Final = Path("/nonexistent")
"""As GIT_DIR: of no repository's settings, which a job may have written, anything counts."""
_ROOT: Final = Path("/")
_ANSWER_SECONDS: Final = 60.0
_TAIL_BYTES: Final = 8 * 1024
_READ_BYTES: Final = 64 * 1024
_LONGEST_LINE: Final = 65520
_MOST_CAPABILITIES: Final = 64 * 1024
_FLUSH: Final = b"0000"
_ENDED: Final = b"0002"
"""What the remote helper says behind each answer, to whoever started it."""
_OLD: Final = "its server does not speak protocol 2 of git"
_VERSION: Final = b"version 2\n"
_READING: Final = "git-upload-pack"
_HTTP: Final = re.compile(r"https?://", re.IGNORECASE)
_FILE: Final = re.compile(r"file://(/.*)", re.IGNORECASE)
_SSH_URL: Final = re.compile(r"ssh://([^/]+?)(?::(\d+))?(/.*)", re.IGNORECASE)
_SCP: Final = re.compile(r"([A-Za-z0-9_.-]+@[A-Za-z0-9.-]+):(.+)")


class UpstreamFailed(Exception):
    """The repository's server did not answer, or not so; a sentence without credentials."""


@dataclass(frozen=True, slots=True)
class ReadableRepository:
    """``repo`` as the agent fetches it, from addresses of these ``protocols``. ``cookie`` marks what is started: none
    of a command, at whose end all else with it ends.
    """

    repo: str
    protocols: tuple[str, ...]
    cookie: str

    async def capabilities(self) -> bytes:
        """What the server says first: pkt-lines up to the flush. Raises UpstreamFailed."""
        async with self._begun() as begun:
            return begun.capabilities

    async def answer(self, request: bytes) -> AsyncGenerator[bytes]:
        """The answer to one request of git's, as it comes. Raises UpstreamFailed before the first byte."""
        async with self._begun() as begun:
            await begun.send(request)
            async for part in begun.parts():
                yield part

    @asynccontextmanager
    async def _begun(self) -> AsyncGenerator["_Begun"]:
        call = GitCall(lambda _: None, Patience.of(_ANSWER_SECONDS), self.cookie)
        try:
            env = await fetch_environment(call, git_dir=_NOWHERE, protocols=self.protocols, cwd=_ROOT)
            if not {"GIT_SSH", "GIT_SSH_COMMAND"} & env.keys():  # the operator has configured another one
                setting = ["config", "--get", "core.sshCommand"]
                _, said, _ = await git_output(call, setting, cwd=_ROOT, env=env, max_bytes=_TAIL_BYTES)
                env["GIT_SSH_COMMAND"] = said.decode().strip()
        except CheckoutError as error:
            raise UpstreamFailed(error.message) from error
        env |= {"GIT_PROTOCOL": "version=2", orphans.COOKIE: self.cookie}
        helper = _HTTP.match(self.repo) is not None
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(  # for its transport, which ``end`` needs
            lambda: SubprocessStreamProtocol(_READ_BYTES, loop),
            *_command(self.repo, env),
            cwd=_ROOT,
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        process = asyncio.subprocess.Process(transport, protocol, loop)
        orphans.keep(process.pid)
        begun = _Begun(self.repo, process, transport, helper)
        try:
            await begun.read_capabilities()
            yield begun
        finally:
            await begun.end()


def _command(repo: str, env: dict[str, str]) -> Sequence[str]:
    """Raises UpstreamFailed for an address of another kind."""
    if _HTTP.match(repo):
        helper = "remote-https" if repo.lower().startswith("https") else "remote-http"
        # Who may be read is this repository: not where its server sends on to.
        return with_settings(["-c", "http.followRedirects=false", "-c", "protocol.version=2", helper, "origin", repo])
    if (found := _FILE.fullmatch(repo)) is not None:
        return with_settings(["upload-pack", "--", unquote(found[1])])
    if (found := _SSH_URL.fullmatch(repo)) is not None:
        host, port, path = found[1], found[2], unquote(found[3])
        return _ssh(env, host, port, path[1:] if path.startswith("/~") else path)
    if (found := _SCP.fullmatch(repo)) is not None:
        return _ssh(env, found[1], None, found[2])
    raise UpstreamFailed(f"{redact(repo)} is of a kind that is not read for steps: http, https, ssh and file are.")


def _ssh(env: dict[str, str], host: str, port: str | None, path: str) -> Sequence[str]:
    """As git starts it (git(1) on GIT_SSH and GIT_SSH_COMMAND)."""
    arguments = ["-o", "SendEnv=GIT_PROTOCOL", *(["-p", port] if port else []), host, f"{_READING} {shlex.quote(path)}"]
    if "GIT_SSH_COMMAND" in env:
        return ["sh", "-c", f'{env["GIT_SSH_COMMAND"]} "$@"', "ssh", *arguments]
    return [env.get("GIT_SSH", "ssh"), *arguments]


class _Begun:
    """A program that speaks to the server, and what the server said first."""

    def __init__(
        self, repo: str, process: asyncio.subprocess.Process, transport: asyncio.SubprocessTransport, helper: bool
    ) -> None:
        assert process.stdin is not None  # noqa: S101 - all three are pipes
        assert process.stdout is not None  # noqa: S101
        self._repo, self._process, self._transport, self._helper = repo, process, transport, helper
        self._input, self._output = process.stdin, process.stdout
        self._said = b""
        self._errors = asyncio.create_task(self._read_errors())
        self.capabilities = b""

    async def read_capabilities(self) -> None:
        """Raises UpstreamFailed."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self._helper:
                    # Alone, and then its answer: the helper reads lines ahead, and requests past that buffer.
                    self._input.write(f"stateless-connect {_READING}\n".encode())
                    if (answer := await self._output.readline()) == b"fallback\n":
                        raise self._failed(_OLD)
                    if answer != b"\n":
                        raise ConnectionError
                await self._read_lines()
        except TimeoutError:
            raise self._failed(f"its server did not answer within {_ANSWER_SECONDS:.0f} s") from None
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            await self._told()
            raise self._explained() from None
        if _VERSION not in self.capabilities[: 4 + len(_VERSION)]:
            raise self._failed(_OLD)

    async def send(self, request: bytes) -> None:
        """All of it; nothing comes after."""
        with suppress(ConnectionError):  # then the answer says why
            self._input.write(request)
            await self._input.drain()
            self._input.close()

    async def parts(self) -> AsyncIterator[bytes]:
        """What the server answers."""
        kept = b""
        while data := await self._output.read(_READ_BYTES):
            data = kept + data
            kept = data[-len(_ENDED) :] if self._helper else b""
            if ready := data[: len(data) - len(kept)]:
                yield ready
        if kept and kept != _ENDED:
            yield kept

    async def end(self) -> None:
        """Whatever it still does is not wanted any more. Its pipes are closed, for the wait is for these too: what was
        not read, and what ssh leaves behind (ControlPersist), would hold it up.
        """
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._transport.close()
        self._errors.cancel()
        await asyncio.wait({asyncio.ensure_future(self._process.wait()), self._errors})
        orphans.let_go(self._process.pid)

    async def _read_lines(self) -> None:
        lines: list[bytes] = []
        size = 0
        while not lines or lines[-1] != _FLUSH:
            head = await self._output.readexactly(4)
            length = int(head, 16)
            size += length
            if length > _LONGEST_LINE or size > _MOST_CAPABILITIES:
                raise ValueError("not what a git server says")
            lines.append(head + (await self._output.readexactly(length - 4) if length > 4 else b""))
        self.capabilities = b"".join(lines)

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        while data := await self._process.stderr.read(_READ_BYTES):
            self._said = (self._said + data)[-_TAIL_BYTES:]

    async def _told(self) -> None:
        await asyncio.wait({self._errors}, timeout=2)

    def _explained(self) -> UpstreamFailed:
        return UpstreamFailed(
            explain(redact(self._said.decode(errors="replace")), f"Reading {redact(self._repo)}").message
        )

    def _failed(self, why: str) -> UpstreamFailed:
        return UpstreamFailed(f"{redact(self._repo)} cannot be read for this step: {why}.")
