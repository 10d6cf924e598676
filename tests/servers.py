"""Real servers for tests: Temporal's dev server and the embedded AWS APIs, each on a free port."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx

from api.cli.stack import embedded
from api.cli.stack.launching import kill, launch, stop, wait_ready

HOST = "127.0.0.1"
OWN_CODE = {"PYTHONPATH": str(Path(__file__).parents[1])}
"""For the environment of a process that is started: the tree that is tested, whatever is installed."""
_PORTS = range(10_000, 32_000)
"""Below those that the system gives to whoever names none: it could give one away before our server has it."""
_PORTS_EACH = 2_000


def _own_ports() -> Iterator[int]:
    """Those of this test process, one after the other, so that no two processes are given the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _PORTS.start + worker * _PORTS_EACH % len(_PORTS)
    for number in count(random.randrange(_PORTS_EACH)):  # another run of the tests may be under way
        yield first + number % _PORTS_EACH


_candidates = _own_ports()


def free_port() -> int:
    for port in _candidates:
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("there is always a next one")


def http(url: str, key: str = "", *, seconds: float = 60) -> httpx.Client:
    """A client of an API that speaks plain HTTP: certificates are not loaded, which takes longer than most requests."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=seconds, verify=False)


def answers_ok(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, verify=False).status_code == 200
    except httpx.HTTPError:
        return False


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((HOST, port)) == 0


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Looks less often the longer it takes: most looks cost a request, and what is waited for needs the processor."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"{what} did not happen within {seconds} s")
        time.sleep(min(max(0.05, waited / 20), 0.25))


class Server:
    """A child process on a port that can be killed and started again on the same data."""

    def __init__(self, name: str, command: list[str], port: int, log: Path) -> None:
        self.name, self.command, self.port, self.log = name, command, port, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        process = self.process = launch(self.command, self.log)
        wait_ready(self.name, process, lambda: accepts(self.port), log=self.log, seconds=60)

    def kill(self) -> None:
        """kill -9."""
        process, self.process = self.process, None
        if process is not None:
            kill(process)

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            stop(process, seconds=10)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


def temporal_server(folder: Path) -> Server:
    port = free_port()
    command = embedded.temporal_command(data_dir=folder, host=HOST, port=port, ui=None)
    return Server("temporal", command, port, folder / "temporal.log")


def aws_server(folder: Path) -> Server:
    port = free_port()
    return Server("aws", embedded.aws_command(data_dir=folder, host=HOST, port=port), port, folder / "aws.log")


@contextmanager
def aws_endpoint(folder: Path) -> Generator[str]:
    """The URL of embedded AWS APIs of its own."""
    with running(aws_server(folder)) as server:
        yield f"http://{server.address}"


@contextmanager
def running(server: Server) -> Generator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
