"""Running one command: own session, one output pipe, interrupt → grace → kill, nothing left behind."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from workflows.contracts.attempts import CANCEL_GRACE_SECONDS

COOKIE = "HYBRIDCI_ATTEMPT"
"""The environment variable that marks every process of an attempt; its value is ``cookie_of(job_id, attempt)``."""

OnOutput = Callable[[bytes], Awaitable[None] | None]


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


class SpawnError(Exception):
    """The command could not be started. ``exit_code`` is what a shell would say: 127 not found, 126 otherwise."""

    exit_code: int


class StopSignal:
    """Asks one or many processes of an attempt to stop; may be asked again with a shorter grace (fencing)."""

    def request(self, *, grace_seconds: float | None = None) -> None:
        """Interrupt now, kill after the grace (None: the process's own default). Only ever shortens the grace."""
        raise NotImplementedError

    @property
    def requested(self) -> bool:
        """True once asked."""
        raise NotImplementedError

    async def wait(self) -> None:
        """Return once asked."""
        raise NotImplementedError


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
    interrupt: signal.Signals = signal.SIGINT,
    on_started: Callable[[int], None] | None = None,
    pass_fds: Sequence[int] = (),
) -> ProcessEnd:
    """Run a command to its end and end whatever it left behind.

    ``on_started`` gets the process group's id (for the guardian and ``record_running``). Raises SpawnError.
    """
    raise NotImplementedError
