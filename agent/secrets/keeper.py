"""The agent's side of the keeper, which holds secrets that are handed over as files. What it does: ``keeper_main``.

There while it holds something. Calls block: for microseconds, and some milliseconds when it is started.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.secrets.errors import SecretUnavailable
from agent.steps import orphans
from agent.steps.job_user import JobUser

_PROGRAM: Final = Path(__file__).with_name("keeper_main.py")
_LIBRARY_VARIABLES: Final = ("LD_LIBRARY_PATH", "SYSTEMROOT")
_ANSWER_SECONDS: Final = 5.0


class FileKeeper:
    """One process. ``user``: as whom steps run, None: as the agent."""

    def __init__(self, user: JobUser | None = None) -> None:
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._files = 0

    def keep(self, descriptor: int) -> tuple[int, int]:
        """Hand a file over; (process, number) under which steps find it. Raises SecretUnavailable."""
        for _ in range(2):  # the one that there was may be gone
            if self._socket is None or self._process is None:
                self._start()
            if self._socket is None or self._process is None:
                break
            with suppress(OSError, ValueError):
                socket.send_fds(self._socket, [b"k"], [descriptor])
                number = int(self._socket.recv(16))
                self._files += 1
                return self._process.pid, number
            self.close()
        raise SecretUnavailable("The process that holds secrets as files cannot be started on this host.")

    def let_go(self, process: int, number: int) -> None:
        """Of one that steps need no more; nothing when its keeper is gone."""
        if self._socket is None or self._process is None or self._process.pid != process:
            return
        self._files -= 1
        if not self._files:
            self.close()
            return
        with suppress(OSError):
            self._socket.sendall(b"c%d" % number)
            self._socket.recv(16)

    def close(self) -> None:
        """End it, and with it every file it holds."""
        if self._socket is not None:
            self._socket.close()
            self._socket, self._files = None, 0
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            orphans.let_go(self._process.pid)
            self._process = None

    def _start(self) -> None:
        own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own.settimeout(_ANSWER_SECONDS)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    self._command(theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env={name: os.environ[name] for name in _LIBRARY_VARIABLES if name in os.environ},
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError:
                own.close()
                return
        orphans.keep(self._process.pid)
        self._socket = own

    def _command(self, descriptor: int) -> Sequence[str]:
        """It becomes the steps' user by itself: that user need not be able to start this Python."""
        user = [] if self._user is None else [str(self._user.uid), str(self._user.gid)]
        return [sys.executable, "-I", "-S", str(_PROGRAM), str(descriptor), *user]
