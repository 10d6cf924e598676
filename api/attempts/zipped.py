"""An attempt's files as one ZIP archive, made while it is sent: memory holds a piece of one file.

Files are stored as they are, since most are compressed already. Names are made safe for whoever unpacks them, on
Windows too. Deliberately not here: which files there are (``routes.artifacts``).
"""

import re
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Final

from workflows.contracts.jobs import ArtifactRef

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\\:*?"<>|\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]')
"""No part of a name on some system, or one that shows a name in another order."""
_ONE_FOR_ALL: Final = (1980, 1, 1, 0, 0, 0)
"""Nobody knows when a file was written; the same files make the same archive."""
_READABLE: Final = 0o644 << 16
_EXECUTABLE: Final = 0o755 << 16

Open = Callable[[str], AsyncGenerator[bytes, None] | AsyncIterator[bytes]]


async def zipped(files: Iterable[ArtifactRef], opened: Open) -> AsyncGenerator[bytes, None]:
    """The archive, in pieces. ``opened`` reads a file by its path; what it raises ends the archive before its end."""
    sink, taken = _Sink(), set[str]()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for ref in files:
            info = zipfile.ZipInfo(_unlike(safe_name(ref.path), taken), _ONE_FOR_ALL)
            info.external_attr = _EXECUTABLE if ref.executable else _READABLE
            with archive.open(info, "w", force_zip64=True) as member:
                async with aclosing(_generator(opened(ref.path))) as pieces:
                    async for piece in pieces:
                        member.write(piece)
                        yield sink.take()
        # The directory of all files follows.
    yield sink.take()


def safe_name(path: str) -> str:
    """Relative, inside, and one that every system can write."""
    return "/".join(_safe_part(part) for part in path.split("/") if part) or "_"


def _safe_part(part: str) -> str:
    part = _UNSAFE.sub("_", part)
    bare = part.rstrip(". ")  # Windows leaves these out at the end, so that '.. ' would be '..'
    return bare + "_" * (len(part) - len(bare))


def _unlike(name: str, taken: set[str]) -> str:
    """Two files that differ in unsafe signs, or in case only, do not overwrite each other."""
    stem, dot, ending = name.rpartition(".") if "." in name.rsplit("/", 1)[-1] else (name, "", "")
    stem, number, found = stem or name, 1, name
    while found.casefold() in taken:
        number += 1
        found = f"{stem}~{number}{dot}{ending}"
    taken.add(found.casefold())
    return found


async def _generator(pieces: AsyncGenerator[bytes, None] | AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for piece in pieces:
        yield piece


class _Sink:
    """What ``zipfile`` writes to: it cannot go back, and is emptied as it fills."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is to be let go."""

    def take(self) -> bytes:
        """What was written since the last time."""
        held, self._held = bytes(self._held), bytearray()
        return held
