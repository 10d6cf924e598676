"""Another user than the agent's, as whom steps run (HYBRIDCI_AGENT_JOB_USER): so that what the agent keeps to itself
(its keys, its files, its memory, the secrets that a job did not ask for) is out of their reach.

Only root may become another user, so such an agent runs as root: its own work (git, logs, uploads) too. A job gets its
own folders, which are given to its user, and may read the agent's copies of repositories, whose objects its workspace
borrows. Jobs of one agent still share that user: separate those that must not meet by pool.
Deliberately not here: what a step is given (``environment``).
"""

import grp
import os
import pwd
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypedDict

from agent.settings import SettingsError

SETTING: Final = "HYBRIDCI_AGENT_JOB_USER"
_PASSABLE: Final = 0o711
"""May be gone through by who knows what is inside, and listed by its owner only."""
_READABLE: Final = 0o755


class SpawnAs(TypedDict, total=False):
    """What ``subprocess.Popen`` takes to start a process as somebody else."""

    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True, slots=True)
class JobUser:
    """A user of this host, without its further groups but those that the host lists for it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def load(cls, name: str | None) -> Self | None:
        """None: steps run as the agent. Raises SettingsError."""
        if name is None:
            return None
        if os.geteuid() != 0:
            raise SettingsError(
                f"{SETTING} is set, but only an agent that runs as root may run steps as another user: start it as "
                "root (in a container of its own, say), or leave the setting out and give each trust its own pool."
            )
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise SettingsError(f"{SETTING} names {name!r}, which is no user of this host: create it.") from None
        if found.pw_uid == 0:
            raise SettingsError(f"{SETTING} must name another user than root.")
        groups = tuple(group.gr_gid for group in grp.getgrall() if name in group.gr_mem)
        return cls(name, found.pw_uid, found.pw_gid, groups)

    def arguments(self) -> SpawnAs:
        """For ``subprocess.Popen``."""
        return {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups)}

    def give(self, folders: Iterable[Path]) -> None:
        """Make these folders, with all in them, the user's own; links are given, not followed. Raises OSError."""
        for folder in folders:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)
            for _, inner, files, handle in os.fwalk(folder, follow_symlinks=False):
                for name in (*inner, *files):
                    os.chown(name, self.uid, self.gid, dir_fd=handle, follow_symlinks=False)


def spawned_as(user: JobUser | None) -> SpawnAs:
    """What starts a process as this user; nothing for the agent's own."""
    return {} if user is None else user.arguments()


def let_through(folders: Iterable[Path]) -> None:
    """Let other users go through these of the agent's folders, though not list them. Raises OSError."""
    for folder in folders:
        folder.chmod(_PASSABLE)


def let_read(folder: Path) -> None:
    """Let other users read in it. Raises OSError."""
    folder.chmod(_READABLE)
