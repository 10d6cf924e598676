"""A stack of the benchmark's own: `hybridci up` as a child, on free ports and in a folder that goes with it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from api.cli.benchmark.wire import Api, BenchmarkFailed
from api.cli.stack.children import LOOPBACK, Options, process_specs
from api.cli.stack.data_dir import DataDir, read_json

_READY_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 40.0
_READY: Final = " is ready after "


@dataclass(frozen=True, slots=True)
class OwnStack:
    """A stack that is up."""

    options: Options
    data: DataDir
    output: Path
    root_pid: int

    def api(self) -> Api:
        """A new connection with the admin's key."""
        key = self.data.admin_key.read_text(encoding="utf-8").strip()
        return Api(LOOPBACK, self.options.api_port, key)

    def environment(self, name: str) -> Mapping[str, str]:
        """The environment that a child of this name has."""
        (spec,) = (spec for spec in process_specs(self.options, self.data) if spec.name == name)
        return spec.env

    def processes(self) -> dict[str, psutil.Process]:
        """The supervisor and its children by name. Raises BenchmarkFailed when one has died."""
        children: list[dict[str, object]] = read_json(self.data.processes).get("children", [])
        pids = {"up": self.root_pid, **{str(child["name"]): int(str(child["pid"])) for child in children}}
        try:
            return {name: psutil.Process(pid) for name, pid in pids.items()}
        except psutil.NoSuchProcess as error:
            raise BenchmarkFailed(f"A part of the stack died: {error}. Its log is in {self.data.logs}.") from error


@contextlib.contextmanager
def own_stack(folder: Path, *, agents: int, capacity: int) -> Generator[OwnStack]:
    """Start a stack in ``folder``, which must not exist, and stop it at the end. Raises BenchmarkFailed."""
    folder.mkdir(mode=0o700)
    api, temporal, ui, aws, gateway = _free_ports(5)
    options = Options(
        api_port=api, temporal_port=temporal, ui_port=ui, aws_port=aws, gateway_port=gateway,
        agents=agents, agent_capacity=capacity, drain_seconds=20,
    )  # fmt: skip
    data, output = DataDir(folder / "data"), folder / "up.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            _command(options, data), stdout=file, stderr=file, env=python_environment(), start_new_session=True
        )
    try:
        _wait_ready(process, output)
        yield OwnStack(options, data, output, process.pid)
    finally:
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def python_environment() -> dict[str, str]:
    """This process's environment, with compiled modules kept as an installation has them.

    The SDK loads a workflow's module anew for each workflow: without them it would compile it each time.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _command(options: Options, data: DataDir) -> list[str]:
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
    return [sys.executable, "-P", "-m", "api.cli.main", "up", "--data-dir", str(data.root), *words]


def _wait_ready(process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while _READY not in (said := output.read_text(encoding="utf-8", errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkFailed(f"The stack to measure did not start. It said: {said.strip() or 'nothing'}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """In order; a stack that does not end is killed with all that it started."""
    if process.poll() is not None:
        return
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for each in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
