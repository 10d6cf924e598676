"""The guardian's own process: reads registrations from stdin and ends what the agent ran when the agent cannot.

Run by path in an isolated interpreter (``python -I -S guardian_main.py``): it imports six standard modules and nothing
of this project, so that it stays small and cannot fail with the agent. The other side: ``guardian``.

Lines: ``+ <cookie> <group>`` (group 0: none yet), ``- <cookie>``, ``/ <cookie> <folder in hexadecimal>``, closed to
others when the agent is dead, and ``! <cookie> <ask at> <kill at>``: unless another such line comes before, the agent
hangs, and the attempt is ended here before its lease does. The end of the file means that the agent is dead: everything
is ended. A process is ended when its environment carries a registered cookie or its session is a registered group.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Iterable

COOKIE = b"HYBRIDCI_ATTEMPT="
TERM_SECONDS = 2.0
KILL_SECONDS = 10.0
POLL_SECONDS = 0.05
LOOK_SECONDS = 1.0  # not longer, for a timeout stands still while the machine sleeps and ``boot_clock`` does not
NEVER = float("inf")


class GuardedAttempt:
    """What is registered for a cookie: groups with their leader's start time; times on ``boot_clock``."""

    def __init__(self) -> None:
        self.groups: dict[int, str] = {}
        self.folders: list[bytes] = []
        self.ask_at = self.kill_at = NEVER


def boot_clock() -> float:
    """Seconds that also pass while the machine sleeps, where the system has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def main() -> None:
    """Serve until stdin ends, then end what is registered."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its time comes when the agent's end closes the pipe
    registered: dict[bytes, GuardedAttempt] = {}
    asked: set[int] = set()
    rest, timeout = b"", None
    while True:
        if not select.select([sys.stdin.fileno()], [], [], timeout)[0]:
            timeout = enforce(registered, asked)
            continue
        news = os.read(sys.stdin.fileno(), 65536)
        if not news:
            break
        *lines, rest = (rest + news).split(b"\n")
        for line in lines:
            take(line.split(), registered)
        timeout = 0.0  # all the news before anything is judged by them
    if registered:
        close(folder for attempt in registered.values() for folder in attempt.folders)
        end(set(registered), groups_of(registered))


def take(words: list[bytes], registered: dict[bytes, GuardedAttempt]) -> None:
    """One line."""
    if words[0] == b"-":
        registered.pop(words[1], None)
    elif words[0] == b"+":
        groups = registered.setdefault(words[1], GuardedAttempt()).groups
        if int(words[2]):
            groups[int(words[2])] = start_time(int(words[2]))
    elif words[1] in registered and words[0] == b"/":
        registered[words[1]].folders.append(bytes.fromhex(words[2].decode()))
    elif words[1] in registered:
        attempt = registered[words[1]]
        attempt.ask_at, attempt.kill_at = float(words[2]), float(words[3])


def enforce(registered: dict[bytes, GuardedAttempt], asked: set[int]) -> float | None:
    """End what is overdue; the seconds until the next look. ``asked``: who has had its SIGTERM."""
    now = boot_clock()
    overdue = {cookie: attempt for cookie, attempt in registered.items() if attempt.ask_at <= now}
    dying = {cookie: attempt for cookie, attempt in overdue.items() if attempt.kill_at <= now}
    victims = find(set(overdue), groups_of(overdue)) if overdue else []
    for pid in victims:
        if pid not in asked:
            send(pid, signal.SIGTERM)
    asked.clear()
    asked.update(victims)
    for pid in find(set(dying), groups_of(dying)) if dying and victims else []:
        send(pid, signal.SIGKILL)
    if victims:
        return POLL_SECONDS
    coming = [at for attempt in registered.values() for at in (attempt.ask_at, attempt.kill_at) if now < at < NEVER]
    return min([LOOK_SECONDS, *(at - now for at in coming)]) if coming or overdue else None


def groups_of(attempts: dict[bytes, GuardedAttempt]) -> dict[int, str]:
    """All their groups."""
    return {group: started for attempt in attempts.values() for group, started in attempt.groups.items()}


def close(folders: Iterable[bytes]) -> None:
    """To all but the agent's user, before the next agent can be there and open some of them again."""
    for folder in folders:
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(handle).st_uid == os.geteuid():
                os.fchmod(handle, 0o700)
        except OSError:
            continue
        finally:
            os.close(handle)


def end(cookies: set[bytes], groups: dict[int, str]) -> None:
    """SIGTERM, 2 s, SIGKILL until nothing is left."""
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        deadline = time.monotonic() + seconds
        asked: set[int] = set()
        while victims := find(cookies, groups):
            for pid in victims:
                if pid not in asked or number == signal.SIGKILL:
                    send(pid, number)
            asked.update(victims)
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        else:
            return


def find(cookies: set[bytes], groups: dict[int, str]) -> list[int]:
    """The living processes to end. Without /proc only the groups themselves are known."""
    if not os.path.isdir("/proc/self"):
        return [-group for group in groups if exists(-group)]
    found: list[int] = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        fields = stat(int(name))
        if not fields or fields[0] in "ZX":
            continue
        session = int(fields[3])
        if (session in groups and is_same(session, groups[session])) or cookie(name) in cookies:
            found.append(int(name))
    return found


def is_same(group: int, started: str) -> bool:
    """Its leader is gone (a number in use is not given away) or still the one that was registered."""
    now = start_time(group)
    return not now or now == started


def start_time(pid: int) -> str:
    """In clock ticks since boot; empty when the process is gone."""
    fields = stat(pid)
    return fields[19] if fields else ""


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name; empty when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def cookie(pid: str) -> bytes | None:
    """The attempt a process was started for."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return None
    return next((entry[len(COOKIE) :] for entry in entries if entry.startswith(COOKIE)), None)


def exists(pid: int) -> bool:
    """Also true for another user's process, which cannot be ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def send(pid: int, number: signal.Signals) -> None:
    """A signal; a process that is gone or another user's is left alone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    main()
