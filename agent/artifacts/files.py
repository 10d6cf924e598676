"""Finding and opening the files a job leaves behind; nothing outside the workspace is ever read.

Patterns are relative paths with ``*``, ``?``, ``[…]`` inside a name and ``**`` for any depth. As in a shell, a wildcard
takes no name that begins with a dot unless the pattern does; a folder stands for all files below it, ``.git`` excepted.
What a pattern with a leading ``!`` matches is left out, wherever it stands among the others.
Deliberately not here: sending them (``upload``).
"""

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Final

from workflows.contracts.workspace.globs import excluded

_MAGIC: Final = re.compile(r"[*?\[]")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a fifo must not make the open wait


class ArtifactError(Exception):
    """The artifacts cannot be collected: too many, too large, or changed while being read."""


@dataclass(frozen=True, slots=True)
class FoundArtifact:
    """``path`` is relative to the workspace, with slashes; ``file`` is the real file, links resolved. Size in bytes.
    ``executable``: its owner may run it.
    """

    path: str
    workspace: Path
    file: Path
    size: int
    executable: bool = False


class _Kind(Enum):
    FOLDER = auto()
    FILE = auto()
    NOTHING = auto()


def find_artifacts(
    workspace: Path,
    patterns: Sequence[str],
    *,
    max_bytes: int,
    note: Callable[[str], None],
    say_empty: bool = True,
    max_files: int = 10_000,
) -> list[FoundArtifact]:
    """Regular files that match, sorted by path. ``note`` gets a sentence per refused file and, unless
    ``say_empty`` is False, per empty pattern.

    Blocking: call it in a thread. Raises ArtifactError above ``max_bytes`` in all or ``max_files``.
    """
    root = workspace.parent.resolve() / workspace.name
    if root.is_symlink() or not root.is_dir():
        raise ArtifactError(f"The workspace {workspace.name} is no longer a folder: a step has removed or replaced it.")
    found: dict[str, FoundArtifact | None] = {}
    total = 0
    left_out = {path for pattern in patterns if (out := excluded(pattern)) is not None for path in _match(root, out)}
    for pattern in patterns:
        if excluded(pattern) is not None:
            continue
        paths = _match(root, pattern)
        empty = True
        for path in paths:
            empty = False
            if path in found or path in left_out:
                continue
            found[path] = artifact = _examine(root, path, note)
            total += artifact.size if artifact else 0
            if total > max_bytes:
                raise ArtifactError(
                    f"The artifacts are larger than {max_bytes} bytes in all (with {path!r}): "
                    "name fewer or smaller files in the job's artifacts."
                )
            if len(found) > max_files:
                raise ArtifactError(
                    f"More than {max_files} files match the job's artifacts: pack them into an archive in a step."
                )
        if empty and say_empty:
            note(f"No file matches the artifact pattern {pattern!r}.")
    return sorted((artifact for artifact in found.values() if artifact), key=lambda artifact: artifact.path)


def open_artifact(found: FoundArtifact) -> BinaryIO:
    """Open for reading without following any link. Raises ArtifactError when it is no longer that file.

    Each folder on the way is opened relative to the one before it, so that no exchange of a folder for a link between
    finding and opening leads outside.
    """
    *folders, name = found.file.relative_to(found.workspace).parts
    opened: list[int] = []
    try:
        opened.append(os.open(found.workspace, _FOLDER))
        for folder in folders:
            opened.append(os.open(folder, _FOLDER, dir_fd=opened[-1]))
        handle = os.open(name, _FILE, dir_fd=opened[-1])
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENXIO}:
            raise
        raise ArtifactError(
            f"{found.path!r} cannot be read any more ({error.strerror}): a process changed it."
        ) from error
    else:
        owner = os.fstat(opened[0]).st_uid
    finally:
        for folder in opened:
            os.close(folder)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise ArtifactError(f"{found.path!r} is no regular file any more: a process replaced it.")
    if owner != os.geteuid() and status.st_uid != owner:  # root opens what another user's steps could only link to
        os.close(handle)
        raise ArtifactError(f"{found.path!r} belongs to another user than the job's: it is not taken.")
    return os.fdopen(handle, "rb")


def _match(root: Path, pattern: str) -> Iterator[str]:
    """Relative paths of files and of links to files.

    A list of (folder, next segment) to visit instead of a recursion, each visited once: neither a deep tree nor
    ``**/*/**/*/**`` costs more than folders times segments.
    """
    named = [segment for segment in pattern.split("/") if segment not in {"", "."}]
    segments = [segment for segment, following in zip_longest(named, named[1:]) if not segment == following == "**"]
    if ".." in segments:
        return
    todo, visited = [("", 0)], set[tuple[str, int]]()
    while todo:
        visit = todo.pop()
        if visit in visited:
            continue
        visited.add(visit)
        for path, following in _visit(root, *visit, segments):
            if following is None:
                yield path
            else:
                todo.append((path, following))


def _visit(root: Path, folder: str, index: int, segments: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    """What a folder has for the pattern from segment ``index`` on: folders with their next segment, files with None."""
    last = index == len(segments) - 1
    if index == len(segments):  # the pattern named this folder: all of it
        for path, kind in _entries(root, folder, lambda name: name != ".git"):
            yield path, index if kind is _Kind.FOLDER else None
    elif segments[index] == "**":
        if not last:
            yield folder, index + 1
        for path, kind in _entries(root, folder, _visible):
            if kind is _Kind.FOLDER or last:
                yield path, index if kind is _Kind.FOLDER else None
    else:
        for path, kind in _named(root, folder, segments[index]):
            if kind is _Kind.FOLDER:
                yield path, index + 1
            elif kind is _Kind.FILE and last:
                yield path, None


def _visible(name: str) -> bool:
    return not name.startswith(".")


def _entries(root: Path, folder: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, _Kind]]:
    """What is in a folder; a link is never a folder here, so that nothing is walked twice or for ever."""
    with suppress(OSError), os.scandir(root / folder) as entries:
        for entry in entries:
            if wanted(entry.name):
                if entry.is_symlink() and _kind(root, Path(entry.path)) is _Kind.FOLDER:
                    continue  # its files are found under their own paths
                kind = _Kind.FOLDER if entry.is_dir(follow_symlinks=False) else _Kind.FILE
                yield _join(folder, entry.name), kind


def _named(root: Path, folder: str, segment: str) -> Iterator[tuple[str, _Kind]]:
    """The entries that one segment of a pattern means. A link to a folder inside the workspace may be gone through."""
    names: Iterable[str] = [segment]
    if _MAGIC.search(segment):
        matches = re.compile(fnmatch.translate(segment)).match
        hidden = segment.startswith(".")
        names = []
        with suppress(OSError):
            names = [name for name in os.listdir(root / folder) if matches(name) and (hidden or _visible(name))]
    for name in names:
        path = root / folder / name
        yield _join(folder, name), _kind(root, path)


def _kind(root: Path, path: Path) -> _Kind:
    if not os.path.lexists(path):
        return _Kind.NOTHING
    if path.is_dir() and (not path.is_symlink() or _inside(root, path)):
        return _Kind.FOLDER
    return _Kind.FILE


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _inside(root: Path, path: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _examine(root: Path, path: str, note: Callable[[str], None]) -> FoundArtifact | None:
    """The artifact, or None with a note why it is refused."""
    if not path.isprintable():  # line breaks, escape sequences, bytes that are not UTF-8
        note(f"The artifact {path!r} is refused: its name has characters that are not printable.")
        return None
    try:
        file = (root / path).resolve(strict=True)
        status = file.lstat()
    except (OSError, RuntimeError) as error:
        note(f"The artifact {path!r} is refused: it leads nowhere ({error}).")
        return None
    if not file.is_relative_to(root):
        note(f"The artifact {path!r} is refused: it is a link that leads out of the workspace.")
        return None
    if not stat.S_ISREG(status.st_mode):
        note(f"The artifact {path!r} is refused: it is not a regular file.")
        return None
    return FoundArtifact(path, root, file, status.st_size, bool(status.st_mode & stat.S_IXUSR))
