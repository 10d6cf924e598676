"""Looking at real processes from tests."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from agent.steps.process import EndReason, Kept, OnOutput, ProcessEnd, StopSignal, run_process

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def alive(pid: int) -> bool:
    """Running: neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def at_rest(leader: int) -> bool:
    """All below it wait, and what the last one waits for is ``sleep``, no longer a copy of the shell that starts it."""
    try:
        family = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
        return family[-1].name() == "sleep" and all(each.status() == psutil.STATUS_SLEEPING for each in family)
    except psutil.NoSuchProcess:
        return False


def pid_in(file: Path) -> int:
    return int(file.read_text())


async def until(condition: Callable[[], bool], *, seconds: float = 60, what: str = "the condition") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        await asyncio.sleep(0.01)


async def bash(
    script: str,
    folder: Path,
    *,
    cookie: str,
    stop: StopSignal | None = None,
    on_output: OnOutput | None = None,
    timeout_seconds: float | None = 60,
    grace_seconds: float = 60,
    on_started: Callable[[int], None] | None = None,
    interrupt: signal.Signals | None = None,
    kept: Kept | None = None,
) -> ProcessEnd:
    def ignore(_: bytes) -> None:
        return None

    return await run_process(
        ["bash", "-c", script],
        cwd=folder,
        env=ENV,
        on_output=on_output or ignore,
        stop=stop or StopSignal(),
        timeout_seconds=timeout_seconds,
        grace_seconds=grace_seconds,
        cookie=cookie,
        on_started=on_started,
        interrupt=interrupt,
        kept=kept,
    )


__all__ = ["ENV", "EndReason", "alive", "at_rest", "bash", "pid_in", "until"]
