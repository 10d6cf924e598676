"""The folder of one attempt under the agent's state: ``attempts/<cookie>/{workspace,scripts,home,tmp,spool}``."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_ATTEMPTS: Final = "attempts"
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

    async def remove_workspace(self) -> None:
        """Remove all but the spool, read-only folders included. Nothing to remove is fine. Raises OSError."""
        await asyncio.to_thread(_remove, self._working)
        self.groups.unlink(missing_ok=True)

    async def remove(self) -> None:
        """Remove everything. Raises OSError."""
        await asyncio.to_thread(_remove, (self.root,))

    @property
    def _working(self) -> tuple[Path, ...]:
        return (self.workspace, self.scripts, self.home, self.temp)


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_symlink() or folder.is_file():  # a step can replace what it likes
            folder.unlink()
            continue
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except PermissionError:
            _make_writable(folder)  # Go's module cache is read-only, for example
            shutil.rmtree(folder)


def _make_writable(folder: Path) -> None:
    """Give the owner back every right on folders. ``os.walk`` enters a folder after it was made readable here."""
    folder.chmod(0o700)
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o700)
