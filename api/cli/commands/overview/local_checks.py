"""What `hybridci doctor` can tell without the API: this machine, the contexts, the data directory and its `up`."""

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from api.cli.client.contexts import Contexts, UnusableContexts
from api.cli.commands.overview.findings import PartFinding, bad, ok, warn
from api.cli.output import size
from workflows.version import product_version

LOW_DISK_BYTES: Final = 5 * 1024**3
NO_DISK_BYTES: Final = 1024**3
_TOOL_SECONDS: Final = 5.0
_STOPPED_WORDS: Final = "no `hybridci up` runs on it"


def machine() -> Iterator[PartFinding]:
    """Its tools, and this command itself."""
    import platform

    yield ok("hybridci", f"{product_version()} on Python {platform.python_version()}")
    for tool in ("git", "bash"):
        if shutil.which(tool) is None:
            yield warn(tool, "is not on the PATH", f"`hybridci up` and agents here need it: install {tool}.")
        else:
            yield ok(tool, _version_of(tool))


def contexts() -> Iterator[PartFinding]:
    """That they can be read, and that nobody else can read their keys."""
    try:
        found = Contexts.read()
    except UnusableContexts as error:
        yield bad("contexts", str(error), "Commands without --data-dir fail until then.")
        return
    for name in found.known:
        path = found.key_path(name)
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield bad("contexts", f"others on this machine can read {path}", f"`chmod 600 {path}`, and rotate the key.")
    if found.used is not None and found.current is None:
        yield warn("contexts", f"{found.used} is in use and is not there", "`hybridci context use NAME` or `--none`.")


def data_directory(folder: Path) -> Iterator[PartFinding]:
    """Of `hybridci up`: who may read it, its disk, and whether it runs."""
    from api.cli.stack.data_dir import read_json

    if not folder.is_dir():
        yield bad("data folder", f"{folder} is not there", f"`hybridci up --data-dir {folder}` makes it.")
        return
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
        free = shutil.disk_usage(folder).free
        endpoint: Any = read_json(folder / "endpoint.json")
        (folder / "admin.key").read_bytes()
    except OSError as error:
        advice = "It belongs to whoever runs `hybridci up`: run this as that user, or sign in with `hybridci login`."
        yield bad("data folder", f"{folder} cannot be read ({error.strerror})", advice)
        return
    if mode & 0o077:
        yield bad("data folder", f"others on this machine can look into {folder}", f"`chmod 700 {folder}`.")
    yield _disk("data folder", folder, free)
    yield from _running(folder, endpoint)


def _running(folder: Path, endpoint: Any) -> Iterator[PartFinding]:
    from api.cli.stack.leftovers import still_running

    runs = _is_up(endpoint.get("pid"))
    left = still_running(folder / "processes.json")
    if runs:
        yield ok(
            "up", f"runs here as process {endpoint['pid']}, with {', '.join(name for name, _ in left) or 'nothing'}"
        )
        return
    start = f"`hybridci up --data-dir {folder}`"
    if left:
        names = ", ".join(f"{name} (pid {pid})" for name, pid in left)
        yield bad("up", f"was killed and left running: {names}", f"{start} ends them, and starts anew.")
    else:
        yield warn("up", f"{_STOPPED_WORDS}: {folder}", f"Start it with {start}.")
    yield from _ports(leftovers=bool(left))


def _ports(*, leftovers: bool) -> Iterator[PartFinding]:
    """Whether `up` would find its usual ports."""
    from api.cli.stack.children import Options, ports

    taken = [f"{port} ({option})" for host, port, option in ports(Options()) if not _free(host, port)]
    if taken and not leftovers:
        words = f"`up` would find these taken: {', '.join(taken)}"
        yield warn("ports", words, "Stop what listens there, or let `hybridci up --ports auto` take free ones.")


def _free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _is_up(pid: Any) -> bool:
    """Whether that process is a `hybridci up`: ids are used again."""
    import psutil

    if not isinstance(pid, int):
        return False
    try:
        return "up" in psutil.Process(pid).cmdline()[1:]
    except psutil.Error:
        return False


def _disk(part: str, folder: Path, free: int) -> PartFinding:
    words = f"{folder}, {size(free)} free"
    advice = "Make room there: `hybridci storage show` says what takes how much."
    if free < NO_DISK_BYTES:
        return bad(part, words, advice)
    return warn(part, words, advice) if free < LOW_DISK_BYTES else ok(part, words)


def _version_of(tool: str) -> str:
    try:
        done = subprocess.run(
            [tool, "--version"], capture_output=True, text=True, timeout=_TOOL_SECONDS, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"is there, and does not say its version ({error})"
    return (done.stdout.splitlines() or ["is there"])[0]
