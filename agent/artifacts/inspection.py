"""Looking for secrets in files that are about to leave this host: their names, their bytes, what is packed in them.

Archives are looked into one level deep: that is where a ``.env`` is taken along by mistake. Whoever means to hide a
secret in a file can, by encrypting it. Deliberately not here: what a secret looks like (``secrets.redact``).
"""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, Final, Protocol, cast

from agent.secrets.redact import Patterns, Redactor

_PIECE: Final = 256 * 1024
_MAX_UNPACKED_BYTES: Final = 1 << 30
"""Of one file; a few kilobytes can stand for much more."""
_ZIP: Final = b"PK\x03\x04"
_DAMAGED: Final = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)
"""It cannot be unpacked, also not by whoever gets it, or it is encrypted (RuntimeError)."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ContainsSecret(Exception):
    """A file or its name holds a secret."""


class SecretGuard:
    """Lets a stream of bytes through as it is, up to a secret. Raises ContainsSecret before its last byte is out."""

    def __init__(self, patterns: Patterns | None) -> None:
        self._redactor = None if patterns is None else Redactor(patterns)

    def feed(self, data: bytes) -> bytes:
        """What can go; the rest goes later."""
        return data if self._redactor is None else self._clean(self._redactor, self._redactor.feed(data))

    def flush(self) -> bytes:
        """The rest, at the end of the stream."""
        if self._redactor is None:
            return b""
        rest = self._redactor.unmasked_rest()
        return self._clean(self._redactor, rest)

    def _clean(self, redactor: Redactor, data: bytes) -> bytes:
        if redactor.found:
            raise ContainsSecret
        return data


def require_no_secret(patterns: Patterns | None, path: str, file: BinaryIO) -> None:
    """Blocking. Reads the file to its end. Raises ContainsSecret, OSError."""
    if patterns is None:
        return
    _examine(patterns, iter((path.encode(errors="surrogateescape"),)))
    file.seek(0)
    begin = file.read(8)
    file.seek(0)
    _examine(patterns, _pieces(file, None))
    file.seek(0)
    try:
        if begin.startswith(_ZIP):
            _examine_zip(patterns, file)
        elif (unpacked := _unpacked(begin, file)) is not None:
            _examine(patterns, _pieces(unpacked, _MAX_UNPACKED_BYTES))
    except _DAMAGED:
        return


def _unpacked(begin: bytes, file: BinaryIO) -> _Readable | None:
    """What is packed in it, by how it begins."""
    if begin.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if begin.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if begin.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(file)
    return None


def _examine_zip(patterns: Patterns, file: BinaryIO) -> None:
    left = _MAX_UNPACKED_BYTES
    with zipfile.ZipFile(cast(IO[bytes], file)) as archive:
        for entry in archive.infolist():
            _examine(patterns, iter((entry.filename.encode(errors="surrogateescape"),)))
            if entry.file_size <= left and not entry.flag_bits & 1:
                with archive.open(entry) as unpacked:
                    _examine(patterns, _pieces(unpacked, entry.file_size))
                left -= entry.file_size


def _examine(patterns: Patterns, pieces: Iterator[bytes]) -> None:
    guard = SecretGuard(patterns)
    for piece in pieces:
        guard.feed(piece)
    guard.flush()


def _pieces(file: _Readable, most: int | None) -> Iterator[bytes]:
    done = 0
    while (piece := file.read(_PIECE)) and (most is None or done < most):
        done += len(piece)
        yield piece
