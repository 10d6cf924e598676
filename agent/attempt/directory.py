"""The folder of one attempt under the agent's state: ``attempts/<cookie>/{scripts,spool}``, and where it works.

Attempts of earlier versions worked there too: what they left is still found. Deliberately not here: the places that
attempts get in turn (``places``).
"""

import asyncio
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from agent.attempt.places import SlotPlace
from agent.attempt.removal import open_folder, remove_all
from agent.steps.job_user import JobUser, let_through

_ATTEMPTS: Final = "attempts"
_WORKING: Final = ("scripts", "workspace", "home", "tmp")
"""What is removed at once. The last three are of earlier versions."""
_COOKIE: Final = re.compile(r"\S+-\d+")


@dataclass(frozen=True, slots=True)
class AttemptDir:
    """Where an attempt keeps its files. ``spool`` is for the log shipper and outlives the workspace. ``place``: where
    it works; None for one of an earlier agent.
    """

    root: Path
    place: SlotPlace | None = None

    @classmethod
    def of(cls, state_dir: Path, cookie: str) -> Self:
        """The folder of this attempt, whether it is there or not."""
        return cls((state_dir / _ATTEMPTS / cookie).resolve())

    @classmethod
    def create(cls, state_dir: Path, cookie: str, place: SlotPlace) -> Self:
        """Make the folder and its parts (mode 0700). Raises OSError."""
        directory = cls((state_dir / _ATTEMPTS / cookie).resolve(), place)
        directory.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in (directory.scripts, directory.spool):
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
        return self.root / "workspace" if self.place is None else self.place.workspace

    @property
    def scripts(self) -> Path:
        """Step scripts."""
        return self.root / "scripts"

    @property
    def home(self) -> Path:
        """HOME of the steps."""
        return self.root / "home" if self.place is None else self.place.home

    @property
    def temp(self) -> Path:
        """TMPDIR of the steps."""
        return self.root / "tmp" if self.place is None else self.place.temp

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
        if self.place is not None:
            let_through(folder for part in (self.place.folder, self.place.short) for folder in (part.parent, part))
        user.give((self.workspace, self.home, self.temp))

    def exists(self) -> bool:
        """False once somebody removed it, or what steps need of it besides their workspace."""
        return self.scripts.is_dir() and self.spool.is_dir()

    async def remove_workspace(self) -> None:
        """Remove all of the folder but the spool. Nothing to remove is fine. Raises OSError."""
        await asyncio.to_thread(self._remove_working)

    async def remove(self) -> None:
        """Remove everything. Raises OSError."""
        await asyncio.to_thread(remove_all, (self.root,))

    def _remove_working(self) -> None:
        with suppress(FileNotFoundError):
            os.close(open_folder(self.root, None))  # a step can have locked it: it belongs to the same user
        remove_all(self.root / part for part in _WORKING)
        self.groups.unlink(missing_ok=True)
