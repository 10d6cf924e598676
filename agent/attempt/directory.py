"""The folder of one attempt under the agent's state: ``attempts/<cookie>/{workspace,scripts,home,tmp,spool}``."""

import asyncio
import itertools
import os
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from agent.steps.job_user import JobUser, let_through

_ATTEMPTS: Final = "attempts"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_COOKIE: Final = re.compile(r"\S+-\d+")


@dataclass(frozen=True, slots=True)
class AttemptDir:
    """Where an attempt keeps its files. ``spool`` is for the log shipper and outlives the workspace."""

    root: Path

    @classmethod
    def create(cls, state_dir: Path, cookie: str) -> Self:
        """Make the folder and its parts (mode 0700). Raises OSError."""
        directory = cls((state_dir / _ATTEMPTS / cookie).resolve())
        directory.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in (*directory._working, directory.spool):
            part.mkdir(exist_ok=True, mode=0o700)
        return directory

    @classmethod
    def all(cls, state_dir: Path) -> list[Self]:
        """Every attempt's folder that exists, by cookie. Anything else that lies there is left alone."""
        with suppress(FileNotFoundError):
            folders = sorted((state_dir / _ATTEMPTS).resolve().iterdir())
            return [cls(root) for root in folders if _COOKIE.fullmatch(root.name) and root.is_dir()]
        return []

    @property
    def cookie(self) -> str:
        """The attempt's cookie, ``<job id>-<attempt>``."""
        return self.root.name

    @property
    def workspace(self) -> Path:
        """Where the commit is checked out and steps run."""
        return self.root / "workspace"

    @property
    def scripts(self) -> Path:
        """Step scripts."""
        return self.root / "scripts"

    @property
    def home(self) -> Path:
        """HOME of the steps."""
        return self.root / "home"

    @property
    def temp(self) -> Path:
        """TMPDIR of the steps."""
        return self.root / "tmp"

    @property
    def spool(self) -> Path:
        """Log bytes that are not yet stored by the control plane."""
        return self.root / "spool"

    @property
    def groups(self) -> Path:
        """The process groups of the attempt (``leftovers``)."""
        return self.root / "groups"

    def give_to(self, user: JobUser) -> None:
        """Let steps of this user work here, and go through the folders above. Blocking. Raises OSError."""
        let_through((self.root.parent.parent, self.root.parent, self.root, self.scripts))
        user.give((self.workspace, self.home, self.temp))

    def exists(self) -> bool:
        """False once somebody removed it, or what steps need of it besides their workspace."""
        return self.scripts.is_dir() and self.spool.is_dir()

    async def remove_workspace(self) -> None:
        """Remove all but the spool, read-only folders included. Nothing to remove is fine. Raises OSError."""
        await asyncio.to_thread(self._remove_working)

    async def remove(self) -> None:
        """Remove everything. Raises OSError."""
        await asyncio.to_thread(_remove, (self.root,))

    def _remove_working(self) -> None:
        with suppress(FileNotFoundError):
            os.close(_open_folder(self.root, None))  # a step can have locked it: it belongs to the same user
        _remove(self._working)
        self.groups.unlink(missing_ok=True)

    @property
    def _working(self) -> tuple[Path, ...]:
        return (self.workspace, self.scripts, self.home, self.temp)


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_symlink() or folder.is_file():  # a step can replace what it likes
            folder.unlink()
        elif folder.exists():
            _remove_tree(folder)


def _remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, read-only folders included (Go's module cache), however deep it is.

    A folder is moved to the top before its parent is removed, so that neither the stack, nor a path, nor the number of
    open files grows with the depth: ``shutil.rmtree`` fails at some hundred levels, and a step can make thousands.
    """
    top = _open_folder(folder, None)
    new_name, count = f".removing-{uuid.uuid4().hex}", itertools.count()
    try:
        todo = _remove_files(top)
        while todo:
            name = todo.pop()
            opened = _open_folder(name, top)
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


def _open_folder(folder: Path | str, parent: int | None) -> int:
    """A descriptor, once its owner has every right on it. No link is followed."""
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
