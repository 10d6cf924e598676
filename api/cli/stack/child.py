"""One child process: its command line, its log file, how it is signalled, how its end reads in one line.

Each child leads a session of its own, so that Ctrl-C in the terminal reaches only the supervisor.
Deliberately not here: when children are started, restarted and stopped (``supervisor``).
"""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import psutil

from api.cli.stack.leftovers import kill_trees

MAX_LOG_BYTES: Final = 10 << 20
"""A log file larger than this is set aside (one generation, ``.1``) before its child is started."""
_TAIL_BYTES: Final = 8192
_MAX_LINE: Final = 200
Ready = Callable[["Child"], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to run a child and how to tell that it is ready.

    ``grace_seconds`` is from SIGTERM to SIGKILL. ``ready`` is asked again and again until it says True; it gets the
    child, must not block, and raises nothing. ``umask`` None leaves the user's own.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    ready: Ready
    grace_seconds: float
    umask: int | None = None


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a run of a child ended. Its text is for people."""

    how: str
    lived_seconds: float
    last_words: str

    def __str__(self) -> str:
        words = f', its last line: "{self.last_words}"' if self.last_words else ""
        return f"{self.how} after {self.lived_seconds:.1f} s{words}"


class Child:
    """A child over its restarts. All methods are for the event loop's thread."""

    def __init__(self, spec: ChildSpec, folder: Path, log: Path) -> None:
        self.spec = spec
        self.deaths = 0
        self.last_end: ChildEnd | None = None
        self.ended = asyncio.Event()
        self._folder, self._log = folder, log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._started_at = 0.0

    @property
    def pid(self) -> int:
        """The process id of the current run."""
        return 0 if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """True from start to end of a run."""
        return self._process is not None and not self.ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """As subprocess tells it: negative for a signal."""
        return None if self._process is None else self._process.returncode

    def start(self) -> None:
        """Start it. Raises OSError when its program or its log file cannot be opened."""
        self.ended = asyncio.Event()
        _rotate(self._log)
        with open(self._log, "ab", opener=_private) as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                list(self.spec.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.env),
                cwd=self._folder,
                start_new_session=True,
                umask=-1 if self.spec.umask is None else self.spec.umask,
            )
        self._started_at = time.monotonic()

    def poll(self) -> None:
        """Notice its end, if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            self.ended.set()

    def note_end(self) -> ChildEnd:
        """Remember how this run ended, which must be over."""
        self.deaths += 1
        self.last_end = ChildEnd(_how(self.exit_code), time.monotonic() - self._started_at, self._last_words())
        return self.last_end

    def terminate(self) -> None:
        """SIGTERM to the process itself: what it runs (an agent's steps) is its own to end."""
        if self.running and self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to it and to all that it started."""
        if self.running:
            kill_trees([psutil.Process(self.pid)])

    def printed(self, text: str) -> bool:
        """True when this run has written ``text`` to its log."""
        return text.encode() in self._output()

    def _last_words(self) -> str:
        """The last line of this run's log, in brief; the message of it when it is structured."""
        lines = self._output(last=_TAIL_BYTES).decode(errors="replace").strip().splitlines()
        line = lines[-1].strip() if lines else ""
        try:
            fields: Any = json.loads(line)
        except ValueError:
            fields = None
        if isinstance(fields, dict):
            known = cast(dict[str, Any], fields)
            line = str(known.get("message") or known.get("msg") or line)
        line = " ".join(line.split())
        return line if len(line) <= _MAX_LINE else line[: _MAX_LINE - 1] + "…"

    def _output(self, last: int | None = None) -> bytes:
        try:
            with self._log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                start = min(self._log_start, size)
                log.seek(start if last is None else max(start, size - last))
                return log.read()
        except FileNotFoundError:  # somebody tidied up: no reason to stop
            return b""


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal has no name
        return f"signal {-code}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))
