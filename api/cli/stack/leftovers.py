"""The children on record, and ending those that a killed `hybridci up` left behind.

A process is ours only if its id, its time of birth and its command line all agree with the record: ids are reused.
Deliberately not here: starting and watching children (``supervisor``).
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import psutil

from api.cli.stack.data_dir import read_json, write_json

AGENT_PREFIX: Final = "agent"
_BIRTH_TOLERANCE_SECONDS: Final = 2.0
"""The time of birth is counted from the boot, whose own time moves when the clock is set."""
_AGENT_GRACE_SECONDS: Final = 10.0
_GRACE_SECONDS: Final = 5.0


class Register:
    """The file of the running children, rewritten whenever one starts or ends for good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._children: dict[str, dict[str, object]] = {}

    def add(self, name: str, pid: int, command: Sequence[str]) -> None:
        """Put a child on record; it replaces an earlier one of the same name."""
        try:
            born = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:  # it has ended already: there is nothing to end later
            return
        self._children[name] = {"name": name, "pid": pid, "born": born, "command": list(command)}
        self._write()

    def remove(self, name: str) -> None:
        """A child has ended for good."""
        self._children.pop(name, None)
        self._write()

    def clear(self) -> None:
        """Nothing runs any more."""
        self._children.clear()
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        write_json(self._path, {"children": list(self._children.values())})


def still_running(path: Path) -> list[tuple[str, int]]:
    """The children on record that run: names and process ids."""
    return [(name, process.pid) for name, process in _on_record(path) if process is not None]


def end_leftovers(path: Path, say: Callable[[str], None]) -> None:
    """End what the last `up` on this directory left running, agents first, and say so."""
    found = [(name, process) for name, process in _on_record(path) if process is not None]
    if not found:
        return
    names = ", ".join(f"{name} (pid {process.pid})" for name, process in found)
    say(f"The last `hybridci up` on this data directory was killed; ending what it left running: {names}.")
    agents = [process for name, process in found if name.startswith(AGENT_PREFIX)]
    others = [process for name, process in found if not name.startswith(AGENT_PREFIX)]
    _end(agents, _AGENT_GRACE_SECONDS)
    _end(others, _GRACE_SECONDS)
    path.unlink(missing_ok=True)


def kill_trees(roots: Iterable[psutil.Process]) -> None:
    """SIGKILL the processes and all their descendants, the roots first so that they start nothing more."""
    trees: list[psutil.Process] = []
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            trees += [root, *root.children(recursive=True)]
    for process in trees:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _on_record(path: Path) -> list[tuple[str, psutil.Process | None]]:
    children: Any = read_json(path).get("children")
    if not isinstance(children, list):
        return []
    entries = [cast(dict[str, Any], entry) for entry in cast(list[Any], children) if isinstance(entry, dict)]
    return [(str(entry.get("name")), _still_runs(entry)) for entry in entries]


def _still_runs(entry: dict[str, Any]) -> psutil.Process | None:
    try:
        process = psutil.Process(entry["pid"])
        same_birth = abs(process.create_time() - entry["born"]) <= _BIRTH_TOLERANCE_SECONDS
        same = same_birth and process.cmdline() == entry["command"]
    except (psutil.NoSuchProcess, psutil.AccessDenied, KeyError, TypeError, ValueError):
        return None
    return process if same else None


def _end(processes: Sequence[psutil.Process], grace: float) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=grace)
    kill_trees(alive)
    psutil.wait_procs(alive, timeout=_GRACE_SECONDS)
