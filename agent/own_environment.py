"""The environment that the agent was started with, of which what is secret is taken out at once.

Steps run as the agent's user as a rule, and such a process may read another's first environment
(``/proc/PID/environ``) and memory. So the values go out of both the environment and the memory that it was started
with, and the process is made not dumpable: then the system shows neither to anybody but root, and writes no core file.
What the agent itself and the commands of its operator need of it (git's helpers, a vault's client) they still get from
here. None of this holds against steps that run as root; as another user (HYBRIDCI_AGENT_JOB_USER) they see nothing.

Facts of this operating-system process. Deliberately not here: what is masked in logs (``agent.secrets``).
"""

import ctypes
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_ENV_START: Final = 47
"""Of the fields behind the command's name in /proc/PID/stat (proc(5) counts from 1, and the name is the second)."""
_OWN_PREFIXES: Final = ("HYBRIDCI_", "TEMPORAL_")
_TELLING: Final = re.compile(
    r"(?i).*(_|^)(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|CREDENTIALS?|KEY_DATA)$"
    r"|GIT_CONFIG_VALUE_\d+"
)
"""Names of variables whose values are taken for secret unless the agent's secrets file says more of them."""

_NEEDED: Final = frozenset({"AWS_CONTAINER_AUTHORIZATION_TOKEN"})
"""The AWS SDK reads it from the environment whenever it renews its credentials, and from nowhere else."""

_taken: dict[bytes, bytes] = {}


def hide_process() -> None:
    """Make this process not dumpable, where the system can. Its children are again what they were: exec undoes it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def take_out(names: Iterable[str] = ()) -> None:
    """Take these variables, and all whose names tell that they are secret, out of this process's environment."""
    wanted = {os.fsencode(name) for name in names}
    found = {name for name in os.environb if name in wanted or _tells(os.fsdecode(name))}
    for name in found:
        _taken[name] = os.environb.pop(name)
    if sys.platform == "linux":
        _erase(found)


def whole_environment() -> dict[str, str]:
    """As it was at the start, for the agent's own use."""
    return {**os.environ, **{os.fsdecode(name): os.fsdecode(value) for name, value in _taken.items()}}


def for_commands() -> dict[str, str]:
    """What commands of the agent's operator get: all but the agent's own settings and keys."""
    return {name: value for name, value in whole_environment().items() if not name.startswith(_OWN_PREFIXES)}


def own_path() -> str:
    """Where the agent's own tools are, whatever PATH a job has."""
    return os.environ.get("PATH", os.defpath)


def variable(name: str) -> bytes | None:
    """The value of one, taken out or not."""
    raw = os.fsencode(name)
    return _taken.get(raw, os.environb.get(raw))


def taken_values() -> Mapping[str, bytes]:
    """Everything that was taken out, by name."""
    return {os.fsdecode(name): value for name, value in _taken.items()}


def is_own(name: str) -> bool:
    """True for the agent's own settings and keys."""
    return name.startswith(_OWN_PREFIXES)


def tells_secret(name: str) -> bool:
    """True for a variable that is taken for secret by its name."""
    return _TELLING.fullmatch(name) is not None


def _tells(name: str) -> bool:
    return name not in _NEEDED and tells_secret(name)


def _erase(names: set[bytes]) -> None:
    """Overwrite the values in the memory that the system shows as this process's first environment."""
    try:
        fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        begin, end = int(fields[_ENV_START]), int(fields[_ENV_START + 1])
    except (OSError, ValueError, IndexError):
        return
    if not 0 < begin < end:
        return
    place = begin
    for entry in ctypes.string_at(begin, end - begin).split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals and value and name in names:
            ctypes.memset(place + len(name) + 1, ord("x"), len(value))
        place += len(entry) + 1
