"""Downloading an artifact: whole or not at all."""

import os
import sys
import tempfile
from pathlib import Path

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.output import note, size


def download_to(api: ApiClient, url: str, attempt: int | None, target: str) -> None:
    """Stream to ``target`` (`-` is stdout). A file appears under its name only when it is complete."""
    if target == "-":
        with api.stream(url, {"attempt": attempt}) as pieces:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.is_dir():
        path /= url.rsplit("/", 1)[-1]
    try:
        count = _to_file(api, url, attempt, path)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}. Choose another place with -o.", USAGE) from None
    note(f"{path}: {size(count)}")


def _to_file(api: ApiClient, url: str, attempt: int | None, path: Path) -> int:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    count = 0
    try:
        with os.fdopen(handle, "wb") as file, api.stream(url, {"attempt": attempt}) as pieces:
            for piece in pieces:
                file.write(piece)
                count += len(piece)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count
