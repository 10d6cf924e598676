"""Processes that escaped from a job's process group (setsid, nohup, a double fork): found and ended.

On Linux the agent becomes the subreaper of all it starts, so that an escaped process whose parent is gone turns up
among the agent's own children: one small file to read, where a search of all of /proc would cost more than the step.
Elsewhere every process is searched for the cookie. One command per cookie at a time.

What can still hide: a process that has left its session, cleared its environment and runs beside other steps. It is
ended with the last step that ran when it was first seen. Other users' processes (sudo) cannot be ended at all.
"""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

COOKIE: Final = "HYBRIDCI_ATTEMPT"
"""The environment variable that marks every process of an attempt."""
_PATIENCE_SECONDS: Final = 5.0
_PR_SET_CHILD_SUBREAPER: Final = 36
_SHELLS: Final = frozenset({"bash", "sh", "dash", "ash", "zsh", "ksh", "mksh"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Family:
    """What the processes of one command have in common. ``session`` is the command's pid, group and session."""

    cookie: str
    session: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a family, for people."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


@dataclass(slots=True)
class _Host:
    """Facts of this operating-system process, of which there is one: its children and whether it adopts orphans."""

    adopts: bool = False
    exclusive: bool = False
    own: set[int] = field(default_factory=set[int])
    active: dict[int, Family] = field(default_factory=dict[int, Family])
    strays: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])
    kept: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])
    """By command, the sessions of what it left to run on: no other command of its attempt ends them."""


_host = _Host()


def adopt_orphans(*, exclusive: bool = False) -> bool:
    """Become the parent of every orphan below this process; False where the system cannot (then /proc is searched).

    ``exclusive`` says that nothing in this process starts children in sessions of their own but this package: then an
    unknown child can only be a job's. An agent's entry point says so, a test process that starts servers must not.
    """
    if sys.platform != "linux" or not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return False
    _host.adopts, _host.exclusive = True, exclusive
    return True


def keep(pid: int) -> None:
    """Count a child as the agent's own: never an escaped one."""
    _host.own.add(pid)


def let_go(pid: int) -> None:
    """The child was reaped."""
    _host.own.discard(pid)
    _host.active.pop(pid, None)
    _host.kept.pop(pid, None)


def began(family: Family) -> None:
    """A command runs."""
    keep(family.session)
    _host.active[family.session] = family


def living(family: Family) -> list[Member]:
    """All that runs of it but its leader, which is dead."""
    roots = list(_escaped(family, set()))
    found = {pid for root in roots for pid in (root, *_descendants(root))}
    if not _host.adopts:
        found |= {pid for pid in psutil.pids() if _group_of(pid) == family.session}
    names = ((pid, _name(pid)) for pid in sorted(found - {family.session}))
    return [Member(pid, name) for pid, name in names if name is not None]


def keep_family(family: Family) -> None:
    """What runs of it now, with its children, is not ended with other commands of its attempt, until ``let_go``."""
    sessions = {_session_of(member.pid) for member in living(family)}
    _host.kept[family.session] = frozenset(each for each in sessions if each is not None) | {family.session}


def waits_for_term(leader: int) -> set[int]:
    """Of the leader and all below it, in its group, those that handle SIGTERM and not SIGINT.

    A shell handles SIGINT while it waits for a command, whatever its traps are; but one with a trap on EXIT handles all
    signals that would end it, SIGHUP too. Empty where the system does not tell.
    """
    return {pid for pid in group(leader) if _handles_term_alone(pid)}


def group(leader: int) -> set[int]:
    """The leader and all below it that are still in its group."""
    return {pid for pid in (leader, *_below(leader)) if _group_of(pid) == leader}


def reads_a_pipe(pid: int) -> bool:
    """True for a process that consumes what another one writes, as in ``>(…)``; a command in the background has no
    input.
    """
    try:
        return os.readlink(f"/proc/{pid}/fd/0").startswith("pipe:")
    except OSError:
        return False


async def end_family(family: Family) -> None:
    """Kill all that is left of a command whose leader was reaped, and reap it. Returns when nothing is left.

    Gives up with a warning after 5 s: a process in an uninterruptible system call cannot be killed.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    killed: set[int] = set()
    while True:
        escaped = list(_escaped(family, killed))
        for pid in {member for root in escaped for member in (root, *_descendants(root))}:
            killed.add(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not escaped and not _group_lives(family.session):
            return
        if time.monotonic() > deadline:
            _log.warning("Processes of %s cannot be killed: %s. End them by hand.", family.cookie, escaped)
            return
        await asyncio.sleep(0.005)


def _handles_term_alone(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return False
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    caught = int(fields.get("SigCgt", "0"), 16)
    handles = {number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM) if caught >> (number - 1) & 1}
    if fields.get("Name", "").strip() in _SHELLS:
        handles.discard(signal.SIGINT)
    return handles == {signal.SIGTERM}


def _name(pid: int) -> str | None:
    """None for one that is gone or only waits to be collected."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.name()
    except psutil.Error:
        return None


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _group_lives(group: int) -> bool:
    """Kill the group; is anything left of it? Zombies do not count, though the system counts them."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process; on macOS also a zombie
        return any(_group_of(pid) == group and _runs(pid) for pid in psutil.pids())
    return _host.adopts or any(_group_of(pid) == group and _runs(pid) for pid in psutil.pids())


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _escaped(family: Family, killed: set[int]) -> Iterator[int]:
    if not _host.adopts:
        found = cookies_by_process({family.cookie})
        yield from (pid for pid in found if not _is_kept(_session_of(pid), family))
        return
    children = set(_children(os.getpid()))
    for gone in _host.strays.keys() - children:
        del _host.strays[gone]
    for pid in children - _host.own:
        found = _inspect(pid)
        if found is None:
            continue
        state, session = found
        if state == "Z":
            _reap(pid, session, killed)
        elif _belongs(pid, session, family):
            yield pid


def _belongs(pid: int, session: int, family: Family) -> bool:
    """Is the child ``pid`` of this family? By session, cookie, folder; else as a stray of all that ran beside it."""
    if _is_kept(session, family):
        return False
    cookie = cookie_of_process(pid)
    if session == family.session or cookie == family.cookie:
        return True
    if session == os.getsid(0) or cookie in {other.cookie for other in _host.active.values()}:
        return False
    with suppress(OSError):
        if Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(family.folder):
            return True
    if session == pid and not _host.exclusive:
        return False  # could be a child that this process started itself
    owners = _host.strays.setdefault(pid, frozenset(_host.active) | {family.session})
    return not (owners & (_host.active.keys() - {family.session}))


def _is_kept(session: int | None, family: Family) -> bool:
    """True for what another command of the attempt left to run on."""
    return any(session in sessions for leader, sessions in _host.kept.items() if leader != family.session)


def _reap(pid: int, session: int, killed: set[int]) -> None:
    """Collect a dead orphan, and only that: a child this process started itself is for its own ``wait``."""
    perhaps_started_here = session == os.getsid(0) or (session == pid and not _host.exclusive)
    if perhaps_started_here and pid not in killed:
        return
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _inspect(pid: int) -> tuple[str, int] | None:
    """(state, session), or None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[3])


def _children(pid: int) -> list[int]:
    """Orphans are given to the first living thread, so the main thread's list is all there is to read."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _descendants(pid: int) -> Iterator[int]:
    """Below an escaped process, whatever their environment."""
    if _host.adopts:
        yield from _below(pid)


def _below(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _below(child)


def cookie_of_process(pid: int) -> str | None:
    """The attempt a process was started for, as its first environment says."""
    try:
        if sys.platform != "linux":
            return psutil.Process(pid).environ().get(COOKIE)
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (OSError, psutil.Error):
        return None
    prefix = f"{COOKIE}=".encode()
    return next((entry[len(prefix) :].decode(errors="replace") for entry in entries if entry.startswith(prefix)), None)


def cookies_by_process(cookies: set[str]) -> dict[int, str]:
    """All living processes of this host with one of the cookies. Reads every process's environment: rarely."""
    found: dict[int, str] = {}
    for pid in psutil.pids():
        cookie = cookie_of_process(pid)
        if cookie in cookies and _runs(pid):
            found[pid] = cookie
    return found


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
