"""Running git on untrusted input: no prompts, no hooks, no helpers from repositories, its output redacted.

Two environments: ``fetch_environment`` keeps the operator's own git settings (credentials, proxies, SSH), for they say
how to reach a server; ``checkout_environment`` keeps nothing, for nothing there may depend on the host.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.git.errors import CheckoutError, redact, timed_out
from agent.own_environment import whole_environment
from agent.steps.process import EndReason, OnOutput, ProcessEnd, SpawnError, StopSignal, run_process

Write = Callable[[bytes], None]
_GRACE_SECONDS: Final = 2.0
_TAIL_CHARACTERS: Final = 32 * 1024
_MAX_LINE: Final = 64 * 1024
_KEPT_GIT_VARIABLES: Final = (
    "GIT_SSH", "GIT_ASKPASS", "GIT_SSL_", "GIT_PROXY_", "GIT_HTTP_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "GIT_EXEC_PATH",
)  # fmt: skip
_OWN_PREFIXES: Final = ("HYBRIDCI_", "TEMPORAL_")
_SSH: Final = "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=4"
_SETTINGS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "protocol.ext.allow": "never",
    "advice.detachedHead": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.recurseSubmodules": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}
_WITHOUT_STDERR: Final = ("bash", "-c", 'exec "$@" 2>/dev/null', "git")
_WITH_STDIN: Final = ("bash", "-c", 'exec "$@" <"$0"')
_OPTIONS: Final = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]


@dataclass(frozen=True, slots=True)
class Patience:
    """Until when a checkout may go on."""

    seconds: float
    until: float

    @classmethod
    def of(cls, seconds: float) -> "Patience":
        """Beginning now."""
        return cls(seconds, time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds. Raises CheckoutError ``checkout_timeout`` when there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise timed_out(self.seconds)
        return left


@dataclass(frozen=True, slots=True)
class GitCall:
    """What all git commands of one checkout share. ``held``: a lock's descriptor that git's processes keep open."""

    write: Write
    patience: Patience
    cookie: str
    held: tuple[int, ...] = ()


def with_settings(arguments: Sequence[str]) -> list[str]:
    """The command line of a git that runs nothing of a repository's own."""
    return ["git", *_OPTIONS, *arguments]


async def git(
    call: GitCall,
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    quiet: bool = False,
    stdin: Path | None = None,
) -> tuple[int, str]:
    """Run git; (exit code, the last 32 KiB it said, redacted). ``quiet`` keeps it out of the log; ``stdin``: a file.

    Raises CheckoutError when the time is up or git is not there. Cancelling the task kills git and its helpers.
    """
    output = _Lines(None if quiet else call.write)
    wrapper = () if stdin is None else (*_WITH_STDIN, str(stdin))
    end = await _run(call, arguments, output.take, cwd=cwd, env=env, wrapper=wrapper)
    output.end()
    return end.exit_code, output.tail


async def git_output(
    call: GitCall, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], max_bytes: int
) -> tuple[int, bytes, bool]:
    """Run git; (exit code, the first ``max_bytes`` that it printed, whether there was more). What it says of errors is
    left out, nothing is redacted. Raises CheckoutError as ``git``.
    """
    output = bytearray()

    def take(data: bytes) -> None:
        output.extend(data)
        if len(output) > max_bytes:
            raise _Full

    try:
        end = await _run(call, arguments, take, cwd=cwd, env=env, wrapper=_WITHOUT_STDERR)
    except _Full:
        return 0, bytes(output[:max_bytes]), True
    return end.exit_code, bytes(output), False


async def _run(
    call: GitCall,
    arguments: Sequence[str],
    on_output: OnOutput,
    *,
    cwd: Path,
    env: Mapping[str, str],
    wrapper: Sequence[str] = (),
) -> ProcessEnd:
    try:
        end = await run_process(
            [*wrapper, *with_settings(arguments)],
            cwd=cwd,
            env=env,
            on_output=on_output,
            stop=StopSignal(),
            timeout_seconds=call.patience.left(),
            cookie=call.cookie,
            grace_seconds=_GRACE_SECONDS,
            interrupt=signal.SIGTERM,  # git removes its lock files and temporary packs on it
            pass_fds=call.held,
        )
    except SpawnError as error:
        raise CheckoutError("checkout_failed", f"git could not be run: {error}", retryable=True) from error
    if end.reason is EndReason.TIMED_OUT:
        raise timed_out(call.patience.seconds)
    return end


class _Full(Exception):
    """It prints more than is read."""


def checkout_environment(*, git_dir: Path, work_tree: Path | None = None) -> dict[str, str]:
    """Nothing of the host but PATH. A named GIT_DIR also means that git searches for no repository by itself."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_DIR": str(git_dir),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": "/nonexistent/grafts",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
    }
    return env if work_tree is None else {**env, "GIT_WORK_TREE": str(work_tree)}


async def fetch_environment(
    call: GitCall, *, git_dir: Path, protocols: Sequence[str], cwd: Path | None = None
) -> dict[str, str]:
    """The agent's own, without its keys and without what another git command set. ``cwd``: for a ``git_dir`` that is
    none.
    """
    env = {name: value for name, value in whole_environment().items() if _kept(name)}
    env |= {
        "LC_ALL": "C",
        "GIT_DIR": str(git_dir),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(protocols),
        "SSH_ASKPASS_REQUIRE": "never",
    }
    if not {"GIT_SSH", "GIT_SSH_COMMAND"} & env.keys() and not await _ssh_is_configured(call, env, cwd or git_dir):
        env["GIT_SSH_COMMAND"] = _SSH
    return env


def _kept(name: str) -> bool:
    if name.startswith("GIT_"):
        return name.startswith(_KEPT_GIT_VARIABLES)
    return not name.startswith(_OWN_PREFIXES)


async def _ssh_is_configured(call: GitCall, env: Mapping[str, str], cwd: Path) -> bool:
    """The environment variable would win over the operator's ``core.sshCommand``."""
    code, _ = await git(call, ["config", "--get", "core.sshCommand"], cwd=cwd, env=env, quiet=True)
    return code == 0


@dataclass(slots=True)
class _Lines:
    """Output by lines, so that a URL is whole when it is redacted."""

    write: Write | None
    tail: str = ""
    _rest: bytes = field(default=b"")

    async def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > _MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._line(line)
        await asyncio.sleep(0)

    def end(self) -> None:
        self._line(self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        text = redact(line.decode(errors="replace")) + "\n"
        self.tail = (self.tail + text)[-_TAIL_CHARACTERS:]
        if self.write is not None:
            self.write(text.encode())
