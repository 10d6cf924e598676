"""A copy of a repository on disk: its place, its two locks, its removal. What is in it: ``cache``.

``<name>.lock`` is held alone by whoever changes the copy, and git's processes inherit it. ``<name>.use`` is shared by
the attempts whose workspaces borrow from the copy; its modification time says when it was last used. Who removes an
unused copy holds both alone. Lock files are never removed: a lock on a removed file would lock nothing.
"""

import fcntl
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

NAME: Final = re.compile(r"([0-9a-f]{64}(?:-sha256)?)(?:\.new|\.trash)?")
"""A copy, one that is being made, or one that is being removed; group 1 is the copy's name."""


def change_lock(path: Path) -> Path:
    """Held alone while the copy changes."""
    return path.with_name(f"{path.name}.lock")


def use_lock(path: Path) -> Path:
    """Shared while the copy is used."""
    return path.with_name(f"{path.name}.use")


def open_lock(lock: Path) -> int:
    """A descriptor to lock; closing it unlocks. Raises OSError."""
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(handle: int, *, shared: bool = False) -> bool:
    """False when somebody else's lock is in the way."""
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def fresh(path: Path) -> Path:
    """Where a copy is made before it takes its place."""
    return path.with_name(f"{path.name}.new")


def trash(path: Path) -> Path:
    """Where a copy is removed."""
    return path.with_name(f"{path.name}.trash")


def discard(path: Path) -> None:
    """Out of the way at once, so that no half-removed copy is ever found, then removed."""
    away = trash(path)
    shutil.rmtree(away, ignore_errors=True)
    with suppress(FileNotFoundError):
        path.rename(away)
    shutil.rmtree(away, ignore_errors=True)
