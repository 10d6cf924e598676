"""What one machine's data directory takes, and how much of its disk is free. Blocking: for a thread.

Deliberately not here: whether that is enough (``system.checks``).
"""

import os
import shutil
from pathlib import Path
from typing import Final

from api.storage.schemas import EntryOut, FolderOut

MOST_FILES: Final = 200_000
"""More are not looked at: it took at least so much."""


def folder_of(root: Path, most_files: int = MOST_FILES) -> FolderOut | None:
    """Its entries, the largest first; None when it cannot be read. What vanishes meanwhile counts for nothing."""
    left, entries = most_files, list[EntryOut]()
    try:
        disk, found = shutil.disk_usage(root), sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return None
    for entry in found:
        size, looked_at = _size(entry, left)
        left -= looked_at
        entries.append(EntryOut(name=entry.name, size=size))
    entries.sort(key=lambda entry: -entry.size)
    total = sum(entry.size for entry in entries)
    return FolderOut(path=str(root), size=total, free=disk.free, total=disk.total, at_least=left <= 0, entries=entries)


def _size(entry: "os.DirEntry[str]", most_files: int) -> tuple[int, int]:
    if not entry.is_dir(follow_symlinks=False):
        return _taken(entry.path), 1
    size, looked_at = 0, 0
    for folder, _, names in os.walk(entry.path, onerror=None, followlinks=False):
        for name in names:
            if looked_at >= most_files:
                return size, looked_at
            size, looked_at = size + _taken(os.path.join(folder, name)), looked_at + 1
    return size, looked_at


def _taken(path: str) -> int:
    """What it takes on the disk: a database's file may have holes."""
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0
