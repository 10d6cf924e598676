"""The folder of one attempt under the agent's state: ``attempts/<cookie>/{workspace,scripts,home,tmp,spool}``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class AttemptDir:
    """Where an attempt keeps its files. ``spool`` is for the log shipper and outlives the workspace."""

    root: Path

    @classmethod
    def create(cls, state_dir: Path, cookie: str) -> Self:
        """Make the folder and its parts (mode 0700)."""
        raise NotImplementedError

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

    async def remove_workspace(self) -> None:
        """Remove all but the spool, read-only folders included. Nothing to remove is fine."""
        raise NotImplementedError

    async def remove(self) -> None:
        """Remove everything."""
        raise NotImplementedError
