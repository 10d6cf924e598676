"""The folder of an operator's hooks (HYBRIDCI_AGENT_HOOKS), and whether only the operator can have written them.

Hooks run as the agent's own user, so a step that could change one would be the agent. The folder, all below it and
every folder above are looked at when the agent starts and again before each hook: the user that steps run as may not
be able to write there. What stands up to that cannot be swapped by a step between the look and the start either.
Where steps run as the agent's user, that user may own nothing of it: an owner can always make himself a writer.
Deliberately not here: running them (``running``).
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from agent.settings import AgentSettings, SettingsError
from agent.steps.job_user import SETTING as USER_SETTING
from agent.steps.job_user import JobUser

SETTING: Final = "HYBRIDCI_AGENT_HOOKS"
BEFORE_CHECKOUT: Final = "before-checkout"
AFTER_CHECKOUT: Final = "after-checkout"
BEFORE_STEP: Final = "before-step"
AFTER_STEP: Final = "after-step"
AFTER_JOB: Final = "after-job"
HOOKS: Final = (BEFORE_CHECKOUT, AFTER_CHECKOUT, BEFORE_STEP, AFTER_STEP, AFTER_JOB)
_MOST_FILES: Final = 1000
_ACCESS_LIST: Final = "system.posix_acl_access"
_NO_LIST: Final = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP})


class HookUnusable(Exception):
    """A hook, or its folder, is not to be believed or cannot be run; a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class _Writer:
    """As whom steps run: what they could write."""

    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, user: JobUser | None) -> Self:
        if user is None:
            return cls(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))
        return cls(user.uid, frozenset({user.gid, *user.groups}))

    def writes(self, path: Path, found: os.stat_result) -> bool:
        """Also by owning it; an access list counts as far as its mask goes, whoever it names."""
        mode = found.st_mode
        by_group = found.st_gid in self.groups or _has_access_list(path)
        return found.st_uid == self.uid or bool(mode & 0o002) or (by_group and bool(mode & 0o020))


@dataclass(frozen=True, slots=True)
class HookFolder:
    """``path`` is whole, without links. ``seconds``: what each hook may take."""

    path: Path
    seconds: float
    writer: _Writer

    @classmethod
    def load(cls, settings: AgentSettings, user: JobUser | None) -> Self | None:
        """None: there are no hooks. Raises SettingsError when steps could write them."""
        if settings.hooks is None:
            return None
        if user is None and os.geteuid() == 0:
            raise SettingsError(
                f"{SETTING} is set, and steps run as root, which can write every file: set {USER_SETTING} to the user "
                "that steps are to run as, or leave the hooks out."
            )
        if not settings.hooks.is_absolute() or not settings.hooks.is_dir():
            raise SettingsError(
                f"{SETTING} names {settings.hooks}: name a folder that is there, by its whole path, or leave it out."
            )
        folder = cls(settings.hooks.resolve(), settings.hook_seconds, _Writer.of(user))
        try:
            folder.require_safe()
        except HookUnusable as error:
            raise SettingsError(str(error)) from error
        return folder

    def find(self, name: str) -> Path | None:
        """The program of this hook; None where the operator has none. Blocking. Raises HookUnusable."""
        self.require_safe()
        path = self.path / name
        try:
            target = path.resolve(strict=True)
            found = target.stat()
        except FileNotFoundError:
            if path.is_symlink():
                raise HookUnusable(f"The hook {path} is a link to nothing: correct or remove it.") from None
            return None
        except (OSError, RuntimeError) as error:
            raise HookUnusable(f"The hook {path} cannot be read ({error}): correct or remove it.") from error
        if not target.is_relative_to(self.path):
            raise HookUnusable(
                f"The hook {path} is a link that leads out of {self.path}: put the program itself there."
            )
        if not stat.S_ISREG(found.st_mode) or not os.access(target, os.X_OK):
            raise HookUnusable(f"The hook {path} is no program that the agent may run: `chmod +x` it, or remove it.")
        return target

    def require_safe(self) -> None:
        """Blocking. Raises HookUnusable with what could be written, and what to do."""
        try:
            for place, found, shared in (*self._above(), *self._inside()):
                if stat.S_ISLNK(found.st_mode):
                    continue  # whoever could change it could write in its folder
                if not self.writer.writes(place, found):
                    continue
                if shared and found.st_mode & stat.S_ISVTX and found.st_uid != self.writer.uid:
                    continue  # there, only their owners can replace what others have made
                raise HookUnusable(self._writable(place, found))
        except OSError as error:
            raise HookUnusable(
                f"The hooks' folder {self.path} cannot be looked at ({error}): correct {SETTING}."
            ) from error

    def _above(self) -> Iterator[tuple[Path, os.stat_result, bool]]:
        for place in self.path.parents:
            yield place, place.lstat(), True

    def _inside(self) -> Iterator[tuple[Path, os.stat_result, bool]]:
        yield self.path, self.path.lstat(), False
        count = 0
        for parent, folders, files in os.walk(self.path, onerror=_raised):
            for name in (*folders, *files):
                count += 1
                if count > _MOST_FILES:
                    raise HookUnusable(f"{self.path} has more than {_MOST_FILES} files: keep only hooks there.")
                place = Path(parent, name)
                yield place, place.lstat(), False

    def _writable(self, place: Path, found: os.stat_result) -> str:
        if found.st_uid == self.writer.uid:
            why, then = "belongs to the user", "give it to root (`chown -R root`)"
        else:
            why, then = "can be written by the user", "take that right away (`chmod go-w`)"
        return (
            f"{place} {why} that steps run as (uid {self.writer.uid}), so a step could change the agent's hooks: "
            f"{then}, or have steps run as another user with {USER_SETTING}."
        )


def _has_access_list(path: Path) -> bool:
    if not hasattr(os, "getxattr"):
        return False
    try:
        return bool(os.getxattr(path, _ACCESS_LIST, follow_symlinks=False))
    except OSError as error:
        if error.errno in _NO_LIST:
            return False
        raise


def _raised(error: OSError) -> None:
    raise error
