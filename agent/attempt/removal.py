"""Removing folders that steps have filled: whatever they hold, however deep and locked they are. Nothing is followed.

Deliberately not here: which folders are an attempt's (``directory``, ``places``).
"""

import itertools
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_all(paths: Iterable[Path]) -> None:
    """Remove these, read-only folders included. What is not there is fine. Blocking. Raises OSError."""
    for folder in paths:
        if folder.is_symlink() or folder.is_file():  # a step can replace what it likes
            folder.unlink()
        elif folder.exists():
            _remove_tree(folder)


def _remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, read-only folders included (Go's module cache), however deep it is.

    A folder is moved to the top before its parent is removed, so that neither the stack, nor a path, nor the number of
    open files grows with the depth: ``shutil.rmtree`` fails at some hundred levels, and a step can make thousands.
    """
    top = open_folder(folder, None)
    new_name, count = f".removing-{uuid.uuid4().hex}", itertools.count()
    try:
        todo = _remove_files(top)
        while todo:
            name = todo.pop()
            opened = open_folder(name, top)
            try:
                for inner in _remove_files(opened):
                    todo.append(f"{new_name}-{next(count)}")
                    _move(inner, opened, todo[-1], top)
            finally:
                os.close(opened)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def open_folder(folder: Path | str, parent: int | None) -> int:
    """A descriptor, once its owner has every right on it. No link is followed. Raises OSError."""
    try:
        handle = os.open(folder, _FOLDER, dir_fd=parent)
    except PermissionError:
        os.chmod(folder, 0o700, dir_fd=parent)
        handle = os.open(folder, _FOLDER, dir_fd=parent)
    if os.fstat(handle).st_mode & 0o700 != 0o700:
        os.fchmod(handle, 0o700)
    return handle


def _remove_files(folder: int) -> list[str]:
    """Remove all but folders, and return these."""
    with os.scandir(folder) as found:
        entries = list(found)
    folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    for entry in entries:
        if entry.name not in folders:
            os.unlink(entry.name, dir_fd=folder)
    return list(folders)


def _move(name: str, parent: int, new_name: str, new_parent: int) -> None:
    try:
        os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent)
    except PermissionError:  # a folder that is moved must be writable itself, for its ``..`` changes
        os.chmod(name, 0o700, dir_fd=parent)
        os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent)
