"""The agent's side of the guardian: a tiny process that ends the agent's jobs when the agent dies (kill -9) or hangs.

Without it such an agent's commands run on beside their retry on another agent. What it does then: ``guardian_main``.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.steps import orphans
from agent.steps.spawn import when_dead

_PROGRAM: Final = Path(__file__).with_name("guardian_main.py")
_LIBRARY_VARIABLES: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
_RESTART_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 15.0

logger = logging.getLogger(__name__)


class Guardian:
    """Keeps one guardian process alive and tells it what to end when the agent is gone.

    Before ``start`` and after ``close`` registrations are only remembered. For use from one event loop.
    """

    def __init__(self) -> None:
        self._registered: dict[str, set[int]] = {}
        self._fences: dict[str, tuple[float, float]] = {}
        self._open: dict[str, tuple[Path, ...]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._dead: asyncio.Future[None] | None = None
        self._pipe = -1
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The guardian process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process. Raises OSError when it cannot be started."""
        self._closing = False
        self._launch()

    def register(self, cookie: str, group: int | None = None) -> None:
        """At the attempt's start with the cookie alone; for each process group once it is known. Never blocks."""
        groups = self._registered.setdefault(cookie, set())
        if group is not None:
            groups.add(group)
        self._send(f"+ {cookie} {group or 0}\n")

    def fence(self, cookie: str, ask_at: float, kill_at: float) -> None:
        """Unless it is told again before: SIGTERM at one time, SIGKILL from the other on, both on ``boot_clock``.

        For a registered cookie; for any other nothing happens. Never blocks.
        """
        if cookie in self._registered:
            self._fences[cookie] = (ask_at, kill_at)
            self._send(f"! {cookie} {ask_at} {kill_at}\n")

    def close_to_others(self, cookie: str, folders: Iterable[Path]) -> None:
        """Once the agent is gone, of a registered cookie: these folders of the agent's are opened to another user, as
        whom steps run, and what a lost attempt leaves there is no matter of that user's other processes. Never blocks.
        """
        if cookie in self._registered:
            self._open[cookie] = tuple(folders)
            self._send_open(cookie)

    def unregister(self, cookie: str) -> None:
        """At the attempt's end: forget the cookie and all its groups."""
        self._fences.pop(cookie, None)
        self._open.pop(cookie, None)
        if self._registered.pop(cookie, None) is not None:
            self._send(f"- {cookie}\n")

    async def close(self) -> None:
        """End the guardian process; what is still registered is ended by it first."""
        self._closing = True
        if self._process is None or self._dead is None:
            return
        self._close_pipe()
        await asyncio.wait({self._dead}, timeout=_CLOSE_SECONDS)
        if not self._dead.done():
            logger.warning("The guardian process %d does not end: it is killed", self._process.pid)
            self._process.kill()
            await asyncio.wait({self._dead})

    def _launch(self) -> None:
        read_end, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_PROGRAM)],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _LIBRARY_VARIABLES if name in os.environ},
                start_new_session=True,  # a Ctrl-C in the agent's terminal is not for the guardian
            )
        except OSError:
            self._close_pipe()
            raise
        finally:
            os.close(read_end)
        orphans.keep(self._process.pid)
        self._dead = when_dead(self._process)
        self._dead.add_done_callback(lambda _: self._died())
        for cookie, groups in self._registered.items():
            for group in (0, *groups):
                self._send(f"+ {cookie} {group}\n")
        for cookie, (ask_at, kill_at) in self._fences.items():
            self._send(f"! {cookie} {ask_at} {kill_at}\n")
        for cookie in self._open:
            self._send_open(cookie)

    def _send_open(self, cookie: str) -> None:
        for folder in self._open[cookie]:
            self._send(f"/ {cookie} {os.fsencode(folder).hex()}\n")

    def _died(self) -> None:
        if self._process is None:
            return
        self._process.wait()
        orphans.let_go(self._process.pid)
        self._process = None
        self._close_pipe()
        if not self._closing:
            logger.warning("The guardian process has died: a new one is started")
            asyncio.get_running_loop().call_later(_RESTART_SECONDS, self._relaunch)

    def _relaunch(self) -> None:
        if self._closing or self._process is not None:
            return
        try:
            self._launch()
        except OSError as error:
            logger.error("No guardian can be started (%s): until then a killed agent leaves its jobs running", error)
            asyncio.get_running_loop().call_later(_RESTART_SECONDS, self._relaunch)

    def _send(self, line: str) -> None:
        """A line is shorter than PIPE_BUF (but for folders of a length that no socket in them bears), so it is written
        whole or not at all.
        """
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, line.encode())
        except BlockingIOError:
            # It does not read: its successor is told everything again.
            if self._process is not None:
                with suppress(ProcessLookupError):
                    self._process.send_signal(signal.SIGKILL)
        except BrokenPipeError:
            return  # dead, and about to be replaced: ``_died``

    def _close_pipe(self) -> None:
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)
