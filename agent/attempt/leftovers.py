"""What a dead agent left behind on this host: found and ended when an agent starts.

The guardian does this at once when an agent dies; here is the second line, for when it was killed too or the host's
memory ran out. Processes are known by the attempt's cookie in their environment, or by their session when its leader
still has the start time that was recorded: never by a bare number, which the system gives away again.
"""

import asyncio
import fcntl
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from agent.attempt.directory import AttemptDir
from agent.steps.orphans import cookies_by_process

_TERM_SECONDS: Final = 2.0
_KILL_SECONDS: Final = 10.0
_CLOCK_SECONDS: Final = 2.0
"""Start times are computed from the wall clock, which may have been adjusted in between."""

logger = logging.getLogger(__name__)


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
    file = (state_dir / "agent.lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StateDirInUse(
            f"Another agent is running in {state_dir}: stop it first, or set HYBRIDCI_AGENT_DIR to another folder."
        ) from error
    return file


def record_running(directory: AttemptDir, group: int) -> None:
    """Note a process group of the attempt, with its leader's start time, so that a later agent can end it."""
    with suppress(psutil.NoSuchProcess):
        created = psutil.Process(group).create_time()
        with directory.groups.open("a") as file:
            file.write(f"{group} {created}\n")


async def end_leftovers(state_dir: Path) -> list[Leftover]:
    """End what runs of earlier attempts, clean their workspaces, and return them, so that spools can be sent."""
    directories = AttemptDir.all(state_dir)
    if not directories:
        return []
    ended = await asyncio.to_thread(_end_all, directories)
    for directory in directories:
        if pids := ended[directory.cookie]:
            logger.warning("Ended %d processes that a dead agent left of attempt %s", len(pids), directory.cookie)
        try:
            await directory.remove_workspace()
        except OSError as error:
            logger.error(
                "The workspace of attempt %s cannot be removed, remove it by hand: %s", directory.cookie, error
            )
    return [Leftover(directory, sorted(ended[directory.cookie])) for directory in directories]


def _end_all(directories: list[AttemptDir]) -> dict[str, set[int]]:
    """SIGTERM, 2 s, SIGKILL until nothing is left. By cookie: the processes that were asked."""
    ended: dict[str, set[int]] = {directory.cookie: set() for directory in directories}
    sessions = {session: started for directory in directories for session, started in _recorded(directory)}
    for kill, seconds in ((False, _TERM_SECONDS), (True, _KILL_SECONDS)):
        deadline = time.monotonic() + seconds
        asked: set[int] = set()
        while victims := _running(set(ended), sessions):
            for pid, cookie in victims.items():
                ended[cookie].add(pid)
                if kill or pid not in asked:
                    with suppress(psutil.Error):
                        psutil.Process(pid).send_signal(9 if kill else 15)
            asked.update(victims)
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return ended
    logger.error("Processes that a dead agent left cannot be killed: %s. End them by hand.", sorted(victims))
    return ended


def _recorded(directory: AttemptDir) -> Iterable[tuple[int, tuple[float, str]]]:
    """(session, (start time of its leader, cookie)) as ``record_running`` wrote them; a torn last line is dropped."""
    text = directory.groups.read_text() if directory.groups.exists() else ""
    for line in text.splitlines(keepends=True):
        words = line.split()
        if line.endswith("\n") and len(words) == 2:
            yield int(words[0]), (float(words[1]), directory.cookie)


def _running(cookies: set[str], sessions: dict[int, tuple[float, str]]) -> dict[int, str]:
    """Living processes of the attempts, with their cookies."""
    found = cookies_by_process(cookies)
    for session, (started, cookie) in sessions.items():
        with suppress(psutil.Error, OSError):
            leader = psutil.Process(session)
            same = abs(leader.create_time() - started) < _CLOCK_SECONDS
            if same and leader.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(session, cookie)
                found.update(dict.fromkeys((child.pid for child in leader.children(recursive=True)), cookie))
    return found
