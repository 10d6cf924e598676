"""Children started, watched, restarted when they crash, and stopped in order with nothing left behind.

On Linux the supervisor adopts orphans (a dead agent's steps), so that at the end it can see and end them all.
Deliberately not here: which children there are (``children``) and what people are told around it (``up``).
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import psutil

from api.cli.stack.child import Child, ChildSpec
from api.cli.stack.leftovers import Register, kill_trees

_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0
_HEALTHY_SECONDS: Final = 30.0
"""A child that lived so long is restarted quickly again."""
_MISCONFIGURED: Final = 2
_STARTUP_TRIES: Final = 3
_PROBE_SECONDS: Final = 0.05
_TELL_AFTER_SECONDS: Final = 3.0
_KILL_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 2.0
_PR_SET_CHILD_SUBREAPER: Final = 36


class StartupFailed(Exception):
    """A child did not become ready; the message says which one, its last words and where its log is."""


class Supervisor:
    """Use inside one event loop, in the main thread (it handles SIGCHLD). ``say`` takes one line for the terminal."""

    def __init__(self, *, folder: Path, logs: Path, register: Register, say: Callable[[str], None]) -> None:
        self._folder, self._logs, self._register, self._say = folder, logs, register, say
        self._children: dict[str, Child] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._stopping = False
        _adopt_orphans()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def start(self, specs: Iterable[ChildSpec]) -> None:
        """Start these children and watch them from now on. Raises OSError when a program cannot be run."""
        for spec in specs:
            child = self._children[spec.name] = Child(spec, self._folder, self._logs / f"{spec.name}.log")
            self._run(child)
            self._watchers[spec.name] = asyncio.create_task(self._watch(child), name=f"watch {spec.name}")

    def names(self) -> list[str]:
        """All children, those included that are about to end."""
        return list(self._children)

    def staying(self) -> list[str]:
        """The children that were not told to end."""
        return list(self._watchers)

    def retire(self, name: str) -> None:
        """Tell a child to end and let it take its time; it is not started again. Only ``stop`` cuts that short."""
        self._watchers.pop(name).cancel()
        child = self._children[name]
        child.terminate()
        leaving = asyncio.create_task(self._see_off(child), name=f"see off {name}")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def wait_ready(self, names: Sequence[str], seconds: float) -> None:
        """Return when all of these are ready. Raises StartupFailed after ``seconds``, or when one cannot come up."""
        waiting = [self._children[name] for name in names]
        deadline = asyncio.get_running_loop().time() + seconds
        while waiting:
            self._check_watchers()
            answers = [child.running and await child.spec.ready(child) for child in waiting]
            waiting = [child for child, ready in zip(waiting, answers, strict=True) if not ready]
            for child in waiting:
                self._check_hope(child)
            if waiting and asyncio.get_running_loop().time() > deadline:
                raise StartupFailed(self._obituary(waiting[0], f"was not ready within {seconds:.0f} s"))
            await asyncio.sleep(_PROBE_SECONDS if waiting else 0)

    async def run(self, until: asyncio.Event) -> None:
        """Supervise until the event is set. Raises what a watcher raised, which would be a fault of this module."""
        stop = asyncio.create_task(until.wait())
        try:
            while not until.is_set():  # which children there are may change
                await asyncio.wait(
                    {stop, *self._watchers.values()}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                self._check_watchers()
        finally:
            stop.cancel()

    async def stop(self, phases: Sequence[Sequence[str]], hurry: asyncio.Event) -> None:
        """End the children phase by phase: SIGTERM, their grace, SIGKILL. ``hurry`` cuts every grace short.

        Returns when no descendant of this process is left.
        """
        self._stopping = True
        watching = [*self._watchers.values(), *self._leaving]
        for each in watching:
            each.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for phase in phases:
            await self._end([self._children[name] for name in phase if name in self._children], hurry)
        await self._sweep()
        self._register.clear()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def _run(self, child: Child) -> None:
        child.start()
        self._register.add(child.spec.name, child.pid, child.spec.command)

    async def _watch(self, child: Child) -> None:
        """Restart the child whenever it ends. Only ``stop`` ends this, by cancelling it between two awaits."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await child.ended.wait()
            end, pid = child.note_end(), child.pid
            if end.lived_seconds >= _HEALTHY_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self._run(child)
            self._say(f"{child.spec.name} (pid {pid}) died: {end}; restarted as pid {child.pid}.")

    async def _see_off(self, child: Child) -> None:
        await child.ended.wait()
        del self._children[child.spec.name]
        self._register.remove(child.spec.name)

    def _check_watchers(self) -> None:
        for watcher in self._watchers.values():
            if watcher.done() and not watcher.cancelled():
                watcher.result()

    def _check_hope(self, child: Child) -> None:
        """A misconfigured child will not come up by trying again, nor will one that has died several times."""
        if child.exit_code == _MISCONFIGURED or child.deaths > _STARTUP_TRIES:
            raise StartupFailed(self._obituary(child, "does not start"))

    def _obituary(self, child: Child, what: str) -> str:
        end = child.last_end or (None if child.running else child.note_end())
        why = f": {end}" if end else ""
        return f"{child.spec.name} {what}{why}. Its log: {self._logs / child.spec.name}.log"

    async def _end(self, children: list[Child], hurry: asyncio.Event) -> None:
        running = [child for child in children if child.running]
        if not running:
            return
        if not hurry.is_set():
            for child in running:
                child.terminate()
            await self._grace(running, hurry)
        for child in running:
            child.kill()
        await _all_ended(running, _KILL_SECONDS)

    async def _grace(self, running: list[Child], hurry: asyncio.Event) -> None:
        """Wait for them to end by themselves: for the grace of the most patient one, or until there is hurry."""
        grace = max(child.spec.grace_seconds for child in running)
        hurried = asyncio.create_task(hurry.wait())
        try:
            await _all_ended(running, min(_TELL_AFTER_SECONDS, grace), hurried)
            slow = [child.spec.name for child in running if child.running]
            if slow and not hurry.is_set() and grace > _TELL_AFTER_SECONDS:
                self._say(f"Waiting up to {grace:.0f} s for {', '.join(slow)} to finish. Ctrl-C again ends it now.")
                await _all_ended(running, grace - _TELL_AFTER_SECONDS, hurried)
            late = [child.spec.name for child in running if child.running]
            if late and not hurry.is_set():
                self._say(f"{', '.join(late)} did not stop within {grace:.0f} s and is killed.")
        finally:
            hurried.cancel()

    async def _sweep(self) -> None:
        """Nothing that any child started outlives the supervisor: a crashed agent's steps, for one."""
        while left := psutil.Process().children(recursive=True):
            kill_trees(left)
            self._reap()
            await asyncio.sleep(0.01)

    def _reap(self) -> None:
        """SIGCHLD: some child has ended, or an adopted orphan has. Signals merge, so all are looked at."""
        for child in self._children.values():
            child.poll()
        if not sys.platform.startswith("linux"):
            return
        own = {child.pid: child for child in self._children.values() if child.running}
        while (dead := _peek()) is not None:
            if dead in own:
                own[dead].poll()
            else:
                os.waitpid(dead, os.WNOHANG)


def _peek() -> int | None:
    """The pid of an ended child that nobody has waited for, left waitable; None when there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _adopt_orphans() -> None:
    """Linux gives a dead child's children to the nearest ancestor that asks for them. Elsewhere they go to init."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def _all_ended(children: list[Child], seconds: float, unless: "asyncio.Task[bool] | None" = None) -> None:
    """Return when all have ended, the time is over, or ``unless`` is done."""
    ended = asyncio.gather(*(child.ended.wait() for child in children))
    await asyncio.wait({ended} if unless is None else {ended, unless}, timeout=seconds,
                       return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
    if not ended.done():
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
