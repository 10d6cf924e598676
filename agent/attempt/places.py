"""Where attempts work: one place for each that runs at once, with the same paths for every job that gets it.

The workspace is ``slots/<number>/workspace`` below the agent's own folder, so that compilers' caches hit. HOME and
TMPDIR are ``<short folder>/<number>/{home,tmp}``, whatever the agent's folder is called: a socket's path has room for
103 characters on macOS, 107 on Linux. The short folder's name cannot be guessed; it is made by this agent, is its own,
and nobody else may write in it: this is looked at again before each use. Its name stands in the file ``short-folder``
before it is made, so that an agent that starts after a kill finds and empties it; one whose agent never starts again
goes with the next agent of this user: it is not locked.
Deliberately not here: an attempt's log, scripts and process groups, which are in its own folder (``directory``).
"""

import asyncio
import errno
import fcntl
import logging
import os
import re
import secrets
import stat
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from agent.attempt.removal import remove_all
from agent.settings import SettingsError
from agent.state_file import remove_torn, replace_file

_SLOTS: Final = "slots"
_RECORD: Final = "short-folder"
_ASIDE: Final = ".removing-"
_NOWHERE: Final = "none"
_NAME: Final = re.compile(r"hci-[0-9a-f]{12}")
_USUAL: Final = (Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - below them a folder of our own
"""The first is a disk where the second often is memory, and outlives a restart of the host."""
_LOCK: Final = ".lock"
_FRESH_SECONDS: Final = 3600.0
"""A folder that is younger may have just been made by another agent, which has not locked it yet."""
_LONGEST: Final = 60
"""Characters of a folder that an operator names: below it a socket's path still has room for a name."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SlotPlace:
    """One slot's folders. ``short`` is where HOME and TMPDIR are."""

    number: int
    folder: Path
    short: Path

    @property
    def workspace(self) -> Path:
        """Where the commit is checked out and steps run."""
        return self.folder / "workspace"

    @property
    def home(self) -> Path:
        """HOME of the steps."""
        return self.short / "home"

    @property
    def temp(self) -> Path:
        """TMPDIR of the steps."""
        return self.short / "tmp"


class SlotPlaces:
    """All of one agent's. Not thread-safe: everything happens on the event loop."""

    def __init__(self, state_dir: Path, parents: tuple[Path, ...]) -> None:
        self._slots = state_dir.resolve() / _SLOTS
        self._record = state_dir.resolve() / _RECORD
        self._parents = parents
        self._short: Path | None = None
        self._lock = -1
        self._taken: set[int] = set()
        self.reserved: set[int] = set()
        """Numbers of places that stay as they are, until ``retake`` or ``forget``."""

    @classmethod
    def load(cls, state_dir: Path, named: Path | None = None, *, keep: Collection[int] = ()) -> Self:
        """Remove what an earlier agent left in its places, but those to ``keep``: under the folder's lock, once its
        processes have ended.

        ``named``: the operator's folder for the short one (None: /var/tmp, else /tmp). Blocking. Raises SettingsError.
        """
        places = cls(state_dir, _USUAL if named is None else (_usable(named),))
        remove_torn(places._record)
        left = [places._slots]
        if (before := places._recorded()) is not None and _own(before):
            left.append(before)
            if before.parent in places._parents:
                places._short = before
        for number in keep:
            places.reserve(number)
        for folder in left:
            kept = {str(number) for number in keep} if folder in {places._slots, places._short} else set[str]()
            try:
                remove_all(part for part in (folder.iterdir() if folder.is_dir() else ()) if part.name not in kept)
            except OSError as error:
                logger.error("What an earlier agent left in %s cannot be removed, remove it by hand: %s", folder, error)
        if before is not None and places._short is None and _own(before):
            with suppress(OSError):
                before.rmdir()
        if places._short is not None:
            places._hold(places._short)
        for parent in places._parents:
            _remove_forgotten(parent, except_for=places._short)
        return places

    def take(self) -> SlotPlace:
        """The free place with the lowest number, its folders empty and for this user only. Blocking. Raises OSError."""
        short = self._short_folder()
        for number in self._free():
            place = self._at(number, short)
            try:
                for folder in (place.folder, place.short):
                    folder.mkdir(mode=0o700, parents=folder is place.folder)
            except FileExistsError:  # a step made it
                self._move_aside(place)
                continue
            for folder in (place.workspace, place.home, place.temp):
                folder.mkdir(mode=0o700)
            self._taken.add(number)
            return place
        raise AssertionError("numbers do not end")

    def give_back(self, place: SlotPlace) -> list[Path]:
        """Another attempt may have the place now; what is returned is to be removed. Blocking, and short.

        A place that cannot be cleared is used no more, until the agent starts again.
        """
        try:
            aside = self._move_aside(place)
        except OSError as error:
            logger.error("The folders of slot %d cannot be moved away: %s", place.number, error)
            return []
        self._taken.discard(place.number)
        return aside

    def kept(self, number: int) -> SlotPlace | None:
        """The reserved place as it was left; None when a part of it is gone, or others could have entered it."""
        if number not in self.reserved or self._short is None:
            return None
        place = self._at(number, self._short)
        whole = (
            _closed(place.folder)
            and _closed(place.short)
            and place.workspace.is_dir()
            and not place.workspace.is_symlink()
        )
        return place if whole and place.home.is_dir() and place.temp.is_dir() else None

    def reserve(self, number: int) -> None:
        """Nobody works there any more, and it stays as it is: closed to the user that steps run as, for what other jobs
        run as that user has no business there. ``AttemptDir.give_to`` opens it again. Blocking, and short.
        """
        self._taken.discard(number)
        self.reserved.add(number)
        for folder in self.folders(number):
            try:
                if _own(folder):
                    folder.chmod(0o700)
            except OSError as error:  # ``kept`` sees that it is open
                logger.error("The folder %s of a lost attempt cannot be closed to other jobs: %s", folder, error)

    def retake(self, number: int) -> SlotPlace | None:
        """Work goes on in a reserved place. None, and it stays reserved, when it is not whole."""
        place = self.kept(number)
        if place is not None:
            self.reserved.discard(number)
            self._taken.add(number)
        return place

    def forget(self, number: int) -> list[Path]:
        """A reserved place is not needed any more: what is returned is to be removed."""
        self.reserved.discard(number)
        return self.give_back(self._at(number, self._short or self._slots / _NOWHERE))

    def folders(self, number: int) -> list[Path]:
        """All that a place takes."""
        place = self._at(number, self._short or self._slots / _NOWHERE)
        return [place.folder, place.short]

    async def close(self) -> None:
        """Remove the short folder when nothing is left in it. Its name stays this agent's."""
        if self._short is not None and self._lock >= 0 and _own(self._short):
            with suppress(OSError):
                await asyncio.to_thread((self._short / _LOCK).unlink)
                await asyncio.to_thread(self._short.rmdir)
            os.close(self._lock)
            self._lock = -1

    def _at(self, number: int, short: Path) -> SlotPlace:
        return SlotPlace(number, self._slots / str(number), short / str(number))

    def _free(self) -> Iterator[int]:
        number = 0
        while True:
            number += 1
            if number not in self._taken and number not in self.reserved:
                yield number

    def _move_aside(self, place: SlotPlace) -> list[Path]:
        aside: list[Path] = []
        for folder in (place.folder, place.short):
            target = folder.with_name(f"{_ASIDE}{uuid.uuid4().hex}")
            try:
                if not folder.is_symlink():
                    folder.chmod(0o700)  # a step can have locked it: it may belong to the same user
                folder.rename(target)
            except FileNotFoundError:
                continue
            aside.append(target)
        return aside

    def _short_folder(self) -> Path:
        """The one in use, or a new one where somebody took it away or changed it."""
        if self._short is not None:
            with suppress(FileExistsError):
                self._short.mkdir(mode=0o700)
            if _own(self._short):
                self._hold(self._short)
                return self._short
        refused = FileNotFoundError(errno.ENOENT, "There is no folder for HOME and TMPDIR")
        for parent in sorted(self._parents, key=_forbids_programs):
            short = parent / f"hci-{secrets.token_hex(6)}"
            replace_file(self._record, os.fsencode(short))
            try:
                short.mkdir(mode=0o700)
            except (PermissionError, FileNotFoundError, FileExistsError) as error:
                refused = error
                continue
            self._short = short
            self._hold(short)
            return short
        raise refused

    def _hold(self, short: Path) -> None:
        """Whoever looks for forgotten ones sees that this is none."""
        path = short / _LOCK
        if self._lock >= 0 and path.exists():
            return
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _recorded(self) -> Path | None:
        try:
            path = Path(os.fsdecode(self._record.read_bytes()))
        except OSError:
            return None
        return path if path.is_absolute() and _NAME.fullmatch(path.name) else None


def _remove_forgotten(parent: Path, *, except_for: Path | None) -> None:
    """The short folders of this user's agents that have died and were never started again in their own folder."""
    for folder in parent.glob("hci-*"):
        if folder == except_for or not _NAME.fullmatch(folder.name) or not _own(folder):
            continue
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < _FRESH_SECONDS:
                continue
            with (folder / _LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_all((folder,))


def _usable(named: Path) -> Path:
    setting = "HYBRIDCI_AGENT_TEMP_DIR"
    if not named.is_absolute() or not named.is_dir():
        raise SettingsError(f"{setting} names {named}: name a folder that is there, by its whole path.")
    folder = named.resolve()
    if len(str(folder)) > _LONGEST:
        raise SettingsError(f"{setting} names {folder}, which is too long for sockets: {_LONGEST} characters at most.")
    return folder


def _own(folder: Path) -> bool:
    """True for a folder, not a link, that belongs to this user and in which nobody else may write."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _closed(folder: Path) -> bool:
    """True for a folder of this user that nobody else may enter."""
    return _own(folder) and not folder.lstat().st_mode & 0o077


def _forbids_programs(folder: Path) -> bool:
    """True where nothing can be run from: many a build starts what it has just made in TMPDIR."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)
    except (OSError, AttributeError):
        return False
