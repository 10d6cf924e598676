"""Running one command: own session, one output pipe, interrupt → grace → kill, nothing left behind.

Deliberately not here: what to run (``executors``), and finding processes that left the group (``orphans``).
"""

import asyncio
import inspect
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from agent.steps import orphans
from agent.steps.job_user import JobUser
from agent.steps.orphans import COOKIE as COOKIE
from agent.steps.orphans import Family, Member
from agent.steps.spawn import SpawnError as SpawnError
from agent.steps.spawn import spawn, when_dead
from workflows.contracts.attempts import CANCEL_GRACE_SECONDS

OnOutput = Callable[[bytes], Awaitable[None] | None]
_READ_BYTES: Final = 64 * 1024
_PIPE_BYTES: Final = 1 << 20
"""The largest pipe an unprivileged Linux process can have: what may still be inside when its writers are dead."""
_QUIET_SECONDS: Final = 0.25
_FLUSH_SECONDS: Final = 5.0


class EndReason(StrEnum):
    """Why a process ended."""

    EXITED = "exited"  # by itself, whatever its exit code
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How a process ended. Times in epoch milliseconds; ``exit_code`` is 128 + n after signal n, as in a shell."""

    exit_code: int
    signal: int | None
    reason: EndReason
    started_at: int
    finished_at: int
    left: tuple[Member, ...] = ()
    """What was killed: what the command left behind, or what did not end within the grace."""


class Kept:
    """Commands whose processes run on after them, until ``end``."""

    def __init__(self) -> None:
        self._commands: list[_Command] = []

    def add(self, command: "_Command") -> None:
        """Keep it."""
        self._commands.append(command)

    async def end(self, grace_seconds: float) -> list[Member]:
        """SIGTERM for all at once, the grace, SIGKILL. What ran till now. Raises what an ``on_output`` raised."""
        commands, self._commands = self._commands, []
        found = [member for command in commands for member in command.others()]
        until = time.monotonic() + grace_seconds
        faults = list[BaseException]()
        try:
            await asyncio.gather(*(command.end_others(until) for command in commands))
        finally:
            for command in commands:
                try:
                    await _to_the_end(command.finish(EndReason.STOPPED))
                except BaseException as error:  # the others are ended all the same
                    faults.append(error)
            if faults:
                raise faults[0]
        return found


class StopSignal:
    """Asks one or many processes of an attempt to stop; may be asked again with a shorter grace (fencing)."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._kill_by: float | None = None

    def request(self, *, grace_seconds: float | None = None) -> None:
        """Interrupt now, kill after the grace (None: the process's own default). Only ever shortens the grace."""
        if grace_seconds is not None:
            kill_by = time.monotonic() + grace_seconds
            self._kill_by = kill_by if self._kill_by is None else min(kill_by, self._kill_by)
        self._asked.set()

    @property
    def requested(self) -> bool:
        """True once asked."""
        return self._asked.is_set()

    def kill_by(self, default: float) -> float:
        """The monotonic time of the kill; ``default`` when no grace was given or the default is earlier."""
        return default if self._kill_by is None else min(default, self._kill_by)

    async def wait(self) -> None:
        """Return once asked."""
        await self._asked.wait()


@dataclass(frozen=True, slots=True)
class StepEnding:
    """How a step's processes end. ``kept``: where those go that it leaves to run on; None: they end with it."""

    interrupt: signal.Signals | None = None
    grace_seconds: float = CANCEL_GRACE_SECONDS
    kept: Kept | None = None


USUAL_ENDING: Final = StepEnding()


def cookie_of(job_id: str, attempt: int) -> str:
    """The value of ``COOKIE`` for an attempt."""
    return f"{job_id}-{attempt}"


async def run_process(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_output: OnOutput,
    stop: StopSignal,
    timeout_seconds: float | None,
    cookie: str,
    grace_seconds: float = CANCEL_GRACE_SECONDS,
    interrupt: signal.Signals | None = None,
    kept: Kept | None = None,
    on_started: Callable[[int], None] | None = None,
    pass_fds: Sequence[int] = (),
    user: JobUser | None = None,
) -> ProcessEnd:
    """Run a command to its end and end whatever it left behind.

    ``on_output`` gets stdout and stderr as they come; while an awaitable it returned is pending nothing more is read,
    so that a slow reader slows the command instead of filling memory. What it raises ends the command and is raised
    here. Stopped or timed out, the group gets ``interrupt`` (None: SIGINT, but SIGTERM where only that is handled),
    what is left when the command has ended SIGTERM, and what is left after ``grace_seconds`` SIGKILL. When the command
    ends by itself, background processes may flush into the pipe for a moment (``exec > >(tee log)``), and those that
    read what it wrote may finish; then they are killed. With ``kept`` they run on until its ``end``.
    ``on_started`` gets the process group's id (for the guardian and ``record_running``); ``user``: None is the
    agent's. Cancelling the task kills at once. Raises SpawnError.
    """
    started_at = _now()
    command = _Command(argv, cwd=cwd, env={**env, COOKIE: cookie}, on_output=on_output, pass_fds=pass_fds, user=user)
    try:
        if on_started is not None:
            on_started(command.pid)
        reason = await command.supervise(stop, timeout_seconds, grace_seconds, interrupt)
    except BaseException:
        await _to_the_end(command.finish(None))
        raise
    if kept is not None and reason is EndReason.EXITED and command.others():
        command.stay(kept)
    else:
        await _to_the_end(command.finish(reason))
    return command.end(reason, started_at)


class _Command:
    """One running command."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: dict[str, str],
        on_output: OnOutput,
        pass_fds: Sequence[int],
        user: JobUser | None,
    ) -> None:
        self._output, write_end = os.pipe()
        try:
            self._popen = spawn(argv, cwd=cwd, env=env, output=write_end, pass_fds=pass_fds, user=user)
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(write_end)
        self.pid = self._popen.pid
        self._family = Family(env[COOKIE], self.pid, cwd.resolve())
        orphans.began(self._family)
        os.set_blocking(self._output, False)
        self._on_output = on_output
        self._busy_at = time.monotonic()
        self._delivering = self._closing = False
        self._wake = asyncio.Event()
        self._finished_at = 0
        self._program = argv[0]
        self._left: tuple[Member, ...] = ()
        self._told: set[int] = set()
        """Who was sent SIGTERM: a second one could start its cleaning up again."""
        self._dead = when_dead(self._popen)
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pump = asyncio.create_task(self._read_output())
        self._pump.add_done_callback(self._output_ended)

    async def supervise(
        self, stop: StopSignal, timeout: float | None, grace: float, interrupt: signal.Signals | None
    ) -> EndReason:
        """Wait for the end, and bring it about when it is time. Raises what ``on_output`` raised."""
        stopping = asyncio.create_task(stop.wait())
        try:
            waits = {self._dead, self._refused, stopping}
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if self._refused.done():
            self._pump.result()
        if self._dead.done():
            return EndReason.EXITED
        reason = EndReason.STOPPED if stop.requested else EndReason.TIMED_OUT
        self._interrupt(interrupt)
        kill_at = time.monotonic() + grace
        # In small steps, because another request may shorten the grace meanwhile.
        while not self._dead.done() and (left := stop.kill_by(kill_at) - time.monotonic()) > 0:
            await asyncio.wait({self._dead}, timeout=min(left, 0.1))
        if self._dead.done():
            await self._end_others(lambda: stop.kill_by(kill_at))
        else:
            self._left = (Member(self.pid, Path(self._program).name),)
        return reason

    def others(self) -> list[Member]:
        """What runs of it besides the command itself, which has ended."""
        return orphans.living(self._family)

    def stay(self, kept: "Kept") -> None:
        """Let the others run on; the command is not collected, so that its group's number stays its own."""
        self._finished_at = _now()
        orphans.keep_family(self._family)
        kept.add(self)

    async def end_others(self, until: float) -> None:
        """SIGTERM, and wait until this monotonic time at most."""
        await self._end_others(lambda: until)

    async def finish(self, reason: EndReason | None) -> None:
        """End and reap everything and read the rest of the pipe. ``reason`` None: at once, output is not wanted."""
        if reason is EndReason.EXITED:
            await self._let_flush()
        if reason is not None and self._dead.done():
            self._left = tuple(self.others())
        # The leader is not reaped yet, so its number cannot stand for another group.
        self._signal(signal.SIGKILL)
        await asyncio.wait({self._dead})
        self._finished_at = self._finished_at or _now()
        self._popen.wait()
        orphans.let_go(self.pid)
        await orphans.end_family(self._family)
        if reason is None:
            self._pump.cancel()
        self._closing = True
        self._wake.set()
        await asyncio.wait({self._pump})
        os.close(self._output)
        if reason is not None:
            self._pump.result()

    def end(self, reason: EndReason, started_at: int) -> ProcessEnd:
        """The result, once the command has ended."""
        code = self._popen.returncode
        if code is None:  # it stays to be collected
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            assert found is not None  # noqa: S101 - without WNOHANG it waits
            code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        number = -code if code < 0 else None
        exit_code = code if number is None else 128 + number
        return ProcessEnd(exit_code, number, reason, started_at, self._finished_at, self._left)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _interrupt(self, number: signal.Signals | None) -> None:
        others = set[int]() if number is not None else orphans.waits_for_term(self.pid)
        if not others:
            return self._signal(number or signal.SIGINT)
        self._told |= others
        for pid in others:  # before what they wait for ends: they would go on, or end, without it
            _send(pid, signal.SIGTERM)
        for pid in orphans.group(self.pid) - others:
            _send(pid, signal.SIGINT)
        return None

    async def _end_others(self, until: Callable[[], float]) -> None:
        """The command has ended; what it leaves gets a moment to clean up too, whether it writes here or not."""
        while (left := self.others()) and time.monotonic() < until():
            for member in left:
                if member.pid not in self._told:
                    self._told.add(member.pid)
                    _send(member.pid, signal.SIGTERM)
            await asyncio.sleep(min(0.05, max(0.0, until() - time.monotonic())))

    async def _let_flush(self) -> None:
        """Until the pipe is closed or quiet (``tee`` in a process substitution ends after the shell does), and nothing
        reads from the command any more.
        """
        self._finished_at = self._finished_at or _now()
        now = self._busy_at = time.monotonic()
        until = now + _FLUSH_SECONDS
        while now < until:
            quiet = self._pump.done() or not (self._delivering or self._busy_at + _QUIET_SECONDS > now)
            if quiet and not any(orphans.reads_a_pipe(member.pid) for member in self.others()):
                return
            await asyncio.sleep(0.02)
            now = time.monotonic()

    async def _read_output(self) -> None:
        left = _PIPE_BYTES  # once closing; a writer nobody could find must not keep us here
        while left > 0:
            try:
                data = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                if self._closing:
                    return
                await self._readable()
                continue
            if not data:
                return
            self._delivering = True
            result = self._on_output(data)
            if inspect.isawaitable(result):
                await result
            else:
                await asyncio.sleep(0)  # a command that only prints must not starve the loop
            self._delivering, self._busy_at = False, time.monotonic()
            left -= len(data) if self._closing else 0

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._wake.clear()
        loop.add_reader(self._output, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            loop.remove_reader(self._output)

    def _output_ended(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and pump.exception() is not None:
            self._refused.set_result(None)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


async def _to_the_end(work: Awaitable[None]) -> None:
    """Await clean-up that a cancellation must not cut short; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


def _now() -> int:
    return time.time_ns() // 1_000_000
