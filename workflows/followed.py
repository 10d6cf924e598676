"""Files of keys and policies that are read again when they change, so that these are changed without a restart.

A file may hold several keys, one a line: the first makes, all are accepted, so that those who have the old one keep
working until they have the new one. A new file that cannot be used changes nothing: the keys of before hold, the log
says so, and so does health (``troubles``). Deliberately not here: what a key looks like (whoever ``load``s it).
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")
LOOK_SECONDS: Final = 1.0
_Version = tuple[int, int, int] | None


class Followed(Generic[T]):
    """What ``load`` makes of these files, as they were when somebody last looked. Safe for many threads."""

    _all: ClassVar[weakref.WeakSet["Followed[Any]"]] = weakref.WeakSet()
    """Those of this process."""

    def __init__(
        self,
        setting: str,
        files: Sequence[Path],
        load: Callable[[], T],
        clock: Callable[[], float] = time.monotonic,
        *,
        kept: str = "the keys of before hold",
    ) -> None:
        """``setting``: the variable that names them; ``kept``: what is said to go on while a new file is of no use.

        Raises what ``load`` raises; later it does not.
        """
        self.setting, self._files, self._load, self._clock = setting, list(files), load, clock
        self._kept, self._lock = kept, threading.Lock()
        self._seen = self._versions()
        self._value = load()
        self._looked_at = clock()
        self.trouble: str | None = None
        Followed._all.add(self)

    def now(self) -> T:
        """At most a second old."""
        if self._files and self._clock() - self._looked_at >= LOOK_SECONDS:
            self.look()
        return self._value

    def look(self) -> T:
        """As it is at this moment, however shortly ago somebody looked."""
        with self._lock:
            self._looked_at = self._clock()
            found = self._versions()
            if found != self._seen:
                self._seen = found
                self._read()
            return self._value

    @classmethod
    def troubles(cls) -> Mapping[str, str]:
        """See ``troubles`` below."""
        found: dict[str, str] = {}
        for each in list(cls._all):
            each.now()
            if each.trouble is not None:
                found[each.setting] = each.trouble
        return found

    def _read(self) -> None:
        try:
            self._value = self._load()
        except Exception as error:
            self.trouble = f"{error} Until it can be used, {self._kept}."
            logger.error("a changed file cannot be used", extra={"setting": self.setting, "reason": str(error)})
            return
        self.trouble = None
        logger.info("a changed file was read again", extra={"setting": self.setting})

    def _versions(self) -> list[_Version]:
        return [_version(file) for file in self._files]


def troubles() -> Mapping[str, str]:
    """What of this process's followed files cannot be used, by setting. Looks first."""
    return Followed.troubles()


def keys_in(text: str) -> list[str]:
    """The keys of a file's text, one a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _version(file: Path) -> _Version:
    """Which file it is: one that was put in its place has another number, whatever its time says."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
