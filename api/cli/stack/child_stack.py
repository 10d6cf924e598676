"""`hybridci up` as a child of another command: started, waited for, stopped with all that it started.

Deliberately not here: what the stack consists of (``children``).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import IO, Final

import psutil

from api.cli.stack.children import LOOPBACK, Options

_READY_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 40.0
_READY: Final = b" is ready after "
_LOOK_SECONDS: Final = 0.05


class StackFailed(Exception):
    """The stack did not start; the message is what it said."""


@contextlib.contextmanager
def running_stack(options: Options, data_dir: Path) -> Generator[int]:
    """Start a stack and stop it at the end; yields the process id of `up`. Raises StackFailed.

    Ctrl-C while it stops tells it to stop at once.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            _command(options, data_dir), stdout=output, stderr=output, env=python_environment(), start_new_session=True
        )
        try:
            _wait_ready(process, output)
            yield process.pid
        finally:
            _stop(process)


def python_environment() -> Mapping[str, str]:
    """This process's environment, with compiled modules kept as an installation has them.

    The SDK loads a workflow's module anew for each workflow: without them it would compile it each time.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens now, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _command(options: Options, data_dir: Path) -> list[str]:
    numbers = {
        "--api-port": options.api_port,
        "--temporal-port": options.temporal_port,
        "--ui-port": options.ui_port,
        "--aws-port": options.aws_port,
        "--gateway-port": options.gateway_port,
        "--agents": options.agents,
        "--agent-capacity": options.agent_capacity,
        "--drain-seconds": options.drain_seconds,
    }
    words = [word for option, number in numbers.items() for word in (option, str(number))]
    return [sys.executable, "-P", "-m", "api.cli.main", "up", "--data-dir", str(data_dir), *words]


def _wait_ready(process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while _READY not in (said := os.pread(output.fileno(), 1 << 20, 0)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackFailed(said.decode(errors="replace").strip() or "It said nothing.")
        time.sleep(_LOOK_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """In order; a stack that does not end is killed with all that it started."""
    if process.poll() is not None:
        return
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    try:
        _wait_ended(process)
    except subprocess.TimeoutExpired:
        for each in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


def _wait_ended(process: subprocess.Popen[bytes]) -> None:
    """Raises TimeoutExpired."""
    try:
        process.wait(_STOP_SECONDS)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_SECONDS)
