"""What a dead agent left behind on this host: found and ended when an agent starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent.attempt_dir import AttemptDir


class StateDirInUse(Exception):
    """Another agent works on this state folder."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """An attempt of a dead agent. Its workspace is gone, its spool is kept. ``ended``: the processes killed."""

    directory: AttemptDir
    ended: list[int]


def lock_state_dir(state_dir: Path) -> IO[bytes]:
    """Take the folder for this process's lifetime (keep the returned file open). Raises StateDirInUse.

    ``end_leftovers`` must only run under this lock: it would end another live agent's jobs.
    """
    raise NotImplementedError


def record_running(directory: AttemptDir, group: int) -> None:
    """Note a process group of the attempt, with its leader's start time, so that a later agent can end it."""
    raise NotImplementedError


async def end_leftovers(state_dir: Path) -> list[Leftover]:
    """End what runs of earlier attempts, clean their workspaces, and return them, so that spools can be sent."""
    raise NotImplementedError
