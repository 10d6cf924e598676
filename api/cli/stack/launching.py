"""Processes beside this one: started, waited for, ended with all that they started. Of the demo, the benchmark, tests.

Each leads a session of its own, so that Ctrl-C in the terminal does not reach it, and says what it says into a file.
Deliberately not here: watching processes and starting them again (``child``, ``supervisor``).
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from api.cli.bound import VARIABLE
from api.cli.stack.leftovers import kill_trees

_SHORTEST_LOOK_SECONDS: Final = 0.05
_LONGEST_LOOK_SECONDS: Final = 0.25
_LAST_BYTES: Final = 3000
_KILLED_SECONDS: Final = 10.0


class StartFailed(Exception):
    """The process has ended, or is not ready in time. The message ends with what it said."""


def python_environment() -> dict[str, str]:
    """This process's environment, with compiled modules kept as an installation has them.

    The SDK loads a workflow's module anew for each workflow: without them it would compile it each time.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def launch(
    command: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    bound: bool = False,
) -> subprocess.Popen[bytes]:
    """Start it; both its streams are appended to ``log``. Without ``env`` it has this process's environment.

    ``bound``: one of our own processes, which is to end when this one does, however that ends.
    """
    own = None if env is None else dict(env)
    if bound:
        own = {**(os.environ if own is None else own), VARIABLE: "1"}
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE if bound else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=own,
            cwd=cwd,
            start_new_session=True,
        )


def wait_ready(
    name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool], *, log: Path, seconds: float
) -> None:
    """Wait until ``ready`` says True. Raises StartFailed.

    It is asked less often the longer it takes: most questions cost work, and what is waited for needs the processor.
    """
    began = time.monotonic()
    while not ready():
        waited = time.monotonic() - began
        if process.poll() is not None:
            raise StartFailed(f"{name} ended with {process.returncode}. It said: {_last_words(log)}")
        if waited > seconds:
            raise StartFailed(f"{name} is not ready after {seconds:.0f} s. It said: {_last_words(log)}")
        time.sleep(min(max(_SHORTEST_LOOK_SECONDS, waited / 20), _LONGEST_LOOK_SECONDS))


def stop(*processes: subprocess.Popen[bytes], seconds: float) -> None:
    """End them in order; one that does not end in time is killed with all that it started.

    Ctrl-C meanwhile tells them a second time.
    """
    _terminate(processes)
    try:
        late = _still_running(processes, seconds)
    except KeyboardInterrupt:
        _terminate(processes)
        late = _still_running(processes, seconds)
    for process in late:
        kill(process)
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()


def kill(process: subprocess.Popen[bytes]) -> int:
    """``kill -9`` of it and all that it started. Returns its exit code."""
    if process.poll() is None:
        kill_trees([psutil.Process(process.pid)])
    if process.stdin is not None:
        process.stdin.close()
    return process.wait(_KILLED_SECONDS)


def _terminate(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)


def _still_running(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> list[subprocess.Popen[bytes]]:
    """Those that have not ended after so long."""
    deadline = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0))
    return [process for process in processes if process.poll() is None]


def _last_words(log: Path) -> str:
    said = log.read_bytes()[-_LAST_BYTES:].decode(errors="replace").strip() if log.exists() else ""
    return said or "nothing."
