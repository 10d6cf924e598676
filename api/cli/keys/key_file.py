"""Private keys in files that only their owner can read: one key a line in base64, the newest first."""

import base64
import os
from pathlib import Path

from api.cli.client.connection import USAGE, CliError


def put_first(path: Path, key: bytes) -> None:
    """Write a key before those that are there. Whole or not at all, mode 0600. Raises CliError."""
    part = path.with_name(f".{path.name}.new")
    try:
        earlier = path.read_text("utf-8") if path.exists() else ""
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            file.write(f"{base64.b64encode(key).decode()}\n{earlier}")
            file.flush()
            os.fsync(descriptor)
        part.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise CliError(f"{path} cannot be written ({why}): name another file with --out.", USAGE) from None


def first_key(path: Path, option: str) -> bytes:
    """The newest key of a file. Raises CliError."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise CliError(f"{option} names {path}, which cannot be read ({why}): name another file.", USAGE) from None
    texts = [text for line in lines if (text := line.partition("#")[0].strip())]
    try:
        key = base64.b64decode(texts[0], validate=True) if texts else b""
    except ValueError:
        key = b""
    if len(key) != 32:
        raise CliError(f"{path} ({option}) holds no private key: 32 bytes in base64 are needed.", USAGE)
    return key
