"""Another host on this machine: a network namespace of its own, joined by one cable, without the stack's files.

What runs there reaches the near end of the cable and nothing else: not the loopback, where Temporal and the AWS APIs
listen. It runs as nobody, or as root where nobody may not run this interpreter. Needs root and iproute2.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from api.cli.stack.launching import launch

NOBODY: Final = 65534
HYBRIDCI: Final = [sys.executable, "-P", "-m", "api.cli.main"]


def why_not() -> str | None:
    """Why there can be no other host here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    missing = [tool for tool in ("ip", "setpriv") if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this kernel gives no network namespaces here"


class OtherHost:
    """``near`` is this machine's address on the cable; ``hidden`` a folder that is not there on the other host.

    Everything there ends with it.
    """

    def __init__(self, folder: Path, hidden: Path) -> None:
        number = os.getpid() % 250
        self.name = f"hci{os.getpid()}"
        self.near, self._far = f"10.231.{number}.1", f"10.231.{number}.2"
        self._cable = f"v{os.getpid()}"
        self.folder, self._hidden = folder, hidden
        self.user = NOBODY if _open_to_all(Path(sys.executable).resolve()) else 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        for line in (
            f"netns add {self.name}",
            f"link add {self._cable} type veth peer name far netns {self.name}",
            f"addr add {self.near}/30 dev {self._cable}",
            f"link set {self._cable} up",
            f"-n {self.name} addr add {self._far}/30 dev far",
            f"-n {self.name} link set far up",
            f"-n {self.name} link set lo up",
        ):
            subprocess.run(["ip", *line.split()], check=True, capture_output=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
        pids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        for pid in pids.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        subprocess.run(["ip", "netns", "del", self.name], check=True)
        subprocess.run(["ip", "link", "del", self._cable], capture_output=True, check=False)  # it went with its far end

    def start(self, name: str, command: list[str], **env: str) -> subprocess.Popen[bytes]:
        """Start a process there, with these variables only; its output goes to ``<name>.log``."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        os.chown(home, self.user, self.user)
        own = {"PATH": os.environ["PATH"], "HOME": str(home), **env}
        process = launch(self._there(command), self.folder / f"{name}.log", env=own, cwd=home)
        self._processes.append(process)
        return process

    def run(self, command: list[str], **env: str) -> subprocess.CompletedProcess[str]:
        """Run something there to its end."""
        given = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **env}
        return subprocess.run(
            self._there(command), capture_output=True, text=True, timeout=60, env=given, cwd=self.folder, check=False
        )

    def log(self, name: str) -> str:
        """What a process there has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _there(self, command: list[str]) -> list[str]:
        # `ip netns exec` makes a mount namespace of its own for what it runs
        hide = ["sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(self._hidden)]
        user = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--no-new-privs"]
        return ["ip", "netns", "exec", self.name, *hide, *user, *command]


def _open_to_all(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))
