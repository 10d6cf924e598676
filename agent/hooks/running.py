"""Running the operator's hooks for one attempt: what they are told, what of them the job's log says, what refuses it.

A hook is a program of the agent's user in a small environment of its own: the job's facts, no value of the job's and no
secret. Its lines stand in the log behind its name, masked as those of steps are. It runs in the attempt's process
family, so that whatever ends the agent ends it too, and what it leaves behind ends with it.
Deliberately not here: who may write hooks (``folder``), when which one runs (``attempt``).
"""

import asyncio
import getpass
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from agent.hooks.folder import HookFolder, HookUnusable
from agent.own_environment import for_commands, own_path
from agent.secrets.redact import Patterns, Redactor
from agent.steps.process import EndReason, SpawnError, StopSignal, run_process

CAUSE: Final = "hook_failed"
_GRACE_SECONDS: Final = 5.0
_MOST_LINE: Final = 16 * 1024
_MOST_REASON: Final = 500
_PASSED: Final = ("HOME", "TMPDIR", "TZ")


class HookRefused(Exception):
    """A hook refuses the job, or could not be run; the sentence has its last line."""


class Hooks:
    """Of one attempt. ``write`` takes what they print, ``say`` the agent's own lines; ``started`` gets a group's id."""

    def __init__(
        self,
        folder: HookFolder | None,
        *,
        facts: Mapping[str, str],
        workspace: Path,
        cookie: str,
        write: Callable[[bytes], None],
        started: Callable[[int], None],
        patterns: Patterns | None,
    ) -> None:
        self._folder, self._facts, self._workspace, self._cookie = folder, facts, workspace, cookie
        self._write, self._started, self._patterns = write, started, patterns

    async def run(
        self, name: str, facts: Mapping[str, str] | None = None, *, stop: StopSignal, most: float | None = None
    ) -> None:
        """Run it, if there is one; ``most``: seconds that are left for it. Stopped, it just ends.

        Raises HookRefused, and OSError when the log cannot be written.
        """
        if self._folder is None:
            return
        try:
            program = await asyncio.to_thread(self._folder.find, name)
        except HookUnusable as error:
            raise HookRefused(f"{error} No job runs past it.") from error
        if program is None:
            return
        seconds = self._folder.seconds if most is None else max(1.0, min(most, self._folder.seconds))
        lines = _HookLines(name, self._write, self._patterns)
        try:
            end = await run_process(
                [str(program)],
                cwd=self._workspace if self._workspace.is_dir() else self._folder.path,
                env={**_surroundings(), **self._facts, **(facts or {}), "HYBRIDCI_HOOK": name},
                on_output=lines.take,
                stop=stop,
                timeout_seconds=seconds,
                cookie=self._cookie,
                grace_seconds=_GRACE_SECONDS,
                on_started=self._started,
            )
        except SpawnError as error:
            raise HookRefused(f"The agent's hook {name} did not run: {error}") from error
        finally:
            lines.end()
        if end.reason is EndReason.TIMED_OUT:
            raise HookRefused(
                f"The agent's hook {name} ran longer than {seconds:.0f} s and was ended{lines.reason}. Its operator "
                "sees why, or raises HYBRIDCI_AGENT_HOOK_SECONDS."
            )
        if end.reason is EndReason.EXITED and end.exit_code != 0:
            raise HookRefused(
                f"The agent's hook {name} refused the job with exit code {end.exit_code}{lines.reason}. "
                "Correct the job, or ask this agent's operator."
            )


def _surroundings() -> dict[str, str]:
    own = for_commands()
    return {
        "PATH": own_path(),
        "USER": (user := own.get("USER") or _user()),
        "LOGNAME": user,
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        **{name: own[name] for name in _PASSED if name in own},
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user
        return "agent"


class _HookLines:
    """Its output with its name before each line. Masked before that: a secret of several lines is found whole."""

    def __init__(self, name: str, write: Callable[[bytes], None], patterns: Patterns | None) -> None:
        self._prefix, self._write = f"[hook {name}] ".encode(), write
        self._redactor = None if patterns is None else Redactor(patterns)
        self._rest, self._last = b"", b""

    @property
    def reason(self) -> str:
        """Its last line, to go into a sentence."""
        text = self._last.decode(errors="replace").strip()[:_MOST_REASON]
        return f": {text.rstrip('.')}" if text else ", and said nothing"

    def take(self, data: bytes) -> None:
        self._lines(data if self._redactor is None else self._redactor.feed(data))

    def end(self) -> None:
        if self._redactor is not None:
            self._lines(self._redactor.flush())
        if self._rest:
            self._line(self._rest)
            self._rest = b""

    def _lines(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        while len(self._rest) > _MOST_LINE:
            self._line(self._rest[:_MOST_LINE])
            self._rest = self._rest[_MOST_LINE:]

    def _line(self, line: bytes) -> None:
        if line.strip():
            self._last = line
        self._write(self._prefix + line + b"\n")
