"""The APIs that somebody signed in to: `contexts.json` in the user's configuration folder, and each one's key.

    ~/.config/hybridci/contexts.json   names, addresses, which one is in use
    ~/.config/hybridci/keys/NAME       the key, alone in its file

Both are readable by their owner only, and written whole or not at all. ``XDG_CONFIG_HOME`` moves the folder.
Deliberately not here: which context a command works with (``connection``), and signing in (``commands.access.login``).
"""

import fcntl
import json
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from api.cli.private_file import write_private

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_KEYS: Final = "keys"


class UnusableContexts(Exception):
    """The file cannot be read or written; the message says why."""


@dataclass(frozen=True, slots=True)
class SavedApi:
    """An API. ``who``: as whom its key was known when it was put there."""

    name: str
    url: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class Contexts:
    """All of them, and the name of the one in use."""

    folder: Path
    known: Mapping[str, SavedApi]
    used: str | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> "Contexts":
        """As they are now; none before the first one. Raises UnusableContexts."""
        folder = config_folder(os.environ if environ is None else environ)
        return cls(Path(), {}) if folder is None else _read(folder)

    @property
    def current(self) -> SavedApi | None:
        """The one in use."""
        return None if self.used is None else self.known.get(self.used)

    def key_path(self, name: str) -> Path:
        """The file of its key."""
        return self.folder / _KEYS / name


def config_folder(environ: Mapping[str, str]) -> Path | None:
    """The user's own; None for a process that has no home."""
    base, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    if os.path.isabs(base):
        return Path(base) / "hybridci"
    return Path(home) / ".config" / "hybridci" if os.path.isabs(home) else None


def context_counts() -> bool:
    """Whether a command without options works with a context rather than with a data directory."""
    try:
        return bool(os.environ.get("HYBRIDCI_CONTEXT")) or Contexts.read().current is not None
    except UnusableContexts:
        return True


def put(context: SavedApi, key: str) -> None:
    """Remember it with its key, and use it from now on. Raises UnusableContexts."""
    with _changing() as contexts:
        write_private(contexts.key_path(context.name), key + "\n")
        _write(replace(contexts, known={**contexts.known, context.name: context}, used=context.name))


def use(name: str | None) -> None:
    """Use this one from now on; None: none. Raises UnusableContexts."""
    with _changing() as contexts:
        _write(replace(contexts, used=name))


def forget(name: str) -> None:
    """It and its key. Raises UnusableContexts."""
    with _changing() as contexts:
        known = {other: each for other, each in contexts.known.items() if other != name}
        _write(replace(contexts, known=known, used=None if contexts.used == name else contexts.used))
        contexts.key_path(name).unlink(missing_ok=True)


@contextmanager
def _changing() -> Generator[Contexts]:
    """One at a time."""
    folder = config_folder(os.environ)
    if folder is None:
        raise UnusableContexts("There is no folder for contexts: set HOME, or XDG_CONFIG_HOME.")
    try:
        for each in (folder, folder / _KEYS):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield _read(folder)
        finally:
            os.close(lock)
    except OSError as error:
        raise UnusableContexts(
            f"{error.filename or folder} cannot be written ({error.strerror or error}): correct that, or set "
            "XDG_CONFIG_HOME to another folder."
        ) from None


def _read(folder: Path) -> Contexts:
    path = folder / "contexts.json"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Contexts(folder, {})
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise UnusableContexts(f"{path} cannot be read ({reason}): correct it, or take it away.") from None
    fields = cast(dict[str, Any], content) if isinstance(content, dict) else {}
    stored: Any = fields.get("contexts")
    entries = cast(dict[str, Any], stored) if isinstance(stored, dict) else {}
    known = {name: context for name, each in entries.items() if (context := _context(name, each)) is not None}
    used: Any = fields.get("use")
    return Contexts(folder, known, used if isinstance(used, str) else None)


def _context(name: str, entry: Any) -> SavedApi | None:
    """None for what none of our versions wrote."""
    fields = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    url, who = fields.get("url"), fields.get("who", "")
    if not NAME.fullmatch(name) or not isinstance(url, str) or not isinstance(who, str):
        return None
    return SavedApi(name, url, who)


def _write(contexts: Contexts) -> None:
    entries = {each.name: {"url": each.url, "who": each.who} for each in contexts.known.values()}
    text = json.dumps({"use": contexts.used, "contexts": entries}, indent=1)
    write_private(contexts.folder / "contexts.json", text + "\n")
