"""`hybridci up` as a child of another command: started, waited for, stopped with all that it started.

Deliberately not here: how one process is started and ended (``launching``), what the stack consists of (``children``).
"""

import contextlib
import socket
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Final

from api.cli.stack.children import LOOPBACK, Options
from api.cli.stack.launching import launch, python_environment, stop, wait_ready

HYBRIDCI: Final = (sys.executable, "-P", "-m", "api.cli.main")
_READY_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 40.0
_READY: Final = b" is ready after "


@contextlib.contextmanager
def running_stack(options: Options, data_dir: Path, environment: Mapping[str, str] | None = None) -> Generator[int]:
    """Start a stack and stop it at the end; yields the process id of `up`. ``environment``: what else it has. Raises
    StartFailed.

    Ctrl-C while it stops tells it to stop at once.
    """
    with tempfile.TemporaryDirectory(prefix="hybridci-up-") as folder:
        log = Path(folder) / "up.out"
        own = {**python_environment(), **(environment or {})}
        process = launch(up_command(options, data_dir), log, env=own, bound=True)
        try:
            wait_ready("hybridci up", process, lambda: says_ready(log), log=log, seconds=_READY_SECONDS)
            yield process.pid
        finally:
            stop(process, seconds=_STOP_SECONDS)


def says_ready(log: Path) -> bool:
    """Whether `up` has written there that it is ready."""
    return _READY in log.read_bytes()


def up_command(options: Options, data_dir: Path, more: Sequence[str] = ()) -> list[str]:
    """The command line of a stack with these options."""
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
    return [*HYBRIDCI, "up", "--data-dir", str(data_dir), *words, *more]


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens now, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
