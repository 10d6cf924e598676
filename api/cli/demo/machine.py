"""The machines that the demo's service is deployed to: servers that run what their ``current`` link points to.

A stand-in for systemd: on a real host, what serves visitors is no child of the deployment's job either, and a job's
processes end with it. Each server keeps its listening socket while versions change: the new version is started beside
the old one, which is asked to end once the new one says that it is ready. Nothing here knows of deployments.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO, Final

_LOOK_SECONDS: Final = 0.02
_START_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.5
_HOST: Final = "127.0.0.1"


@contextlib.contextmanager
def running_servers(home: Path, count: int) -> Generator[list[int]]:
    """Servers ``server-1`` … in this folder; yields their ports. They run until the context ends. Raises OSError."""
    (home / "releases").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        servers = [_Server(home / f"server-{number}") for number in range(1, count + 1)]
        for server in servers:
            stack.callback(server.stop)
            server.start()
        yield [server.port for server in servers]


class _Server:
    """One server: a socket, a thread that watches its link, and the process that serves."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._link, self._log = folder / "current", folder / "log"
        self._socket = socket.create_server((_HOST, 0), backlog=64)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch {folder}", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = int(self._socket.getsockname()[1])

    def start(self) -> None:
        """From now on it runs what its link points to."""
        self._thread.start()

    def stop(self) -> None:
        """End what serves."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._end(self._process)
        self._socket.close()

    def _watch(self) -> None:
        runs: str | None = None
        while not self._stopping.wait(_LOOK_SECONDS):
            wanted = os.readlink(self._link) if self._link.is_symlink() else None
            died = self._process is not None and self._process.poll() is not None
            if wanted is None or (wanted == runs and not died):
                continue
            runs = wanted
            if not self._change(Path(wanted)):
                runs = None
                self._stopping.wait(_PAUSE_SECONDS)

    def _change(self, release: Path) -> bool:
        """Start this version and end the other one. False when it does not come up: the other one goes on."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                # -E, -B: nothing of the caller's environment gets in, nothing is left in the release
                [sys.executable, "-E", "-B", str(release / "app.py"), "--fd", str(self._socket.fileno())],
                stdin=subprocess.PIPE,  # its end tells the server that the machine is gone
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[self._socket.fileno()],
                start_new_session=True,
            )
        if not self._ready(process):
            self._end(process)
            return False
        process, self._process = self._process, process
        self._end(process)
        return True

    def _ready(self, process: subprocess.Popen[bytes]) -> bool:
        output = process.stdout
        if output is None:
            return False
        os.set_blocking(output.fileno(), False)
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline and not self._stopping.wait(_LOOK_SECONDS / 4):
            if b"is ready" in (output.read() or b""):
                return True
        return False

    def _end(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            _close(pipe)


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()
