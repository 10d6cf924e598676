"""A bundle: many small artifacts in one body, a zip without compression, each entry with its SHA-256 as comment.

It is checked as a whole before any of it is kept, and kept with a list of where each file is, so that a thousand files
cost two objects and none is ever there by half. Pure but for the file it reads; blocking. Deliberately not here: where
it is kept (``s3.bundles``), who sends it (``agent.artifacts.bundling``).
"""

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from typing import IO, BinaryIO, Final, cast

from pydantic import TypeAdapter

from activities.stores.paths import check_artifact_path
from workflows.contracts.attempts import MAX_BUNDLE_BYTES, MAX_BUNDLED_FILES
from workflows.contracts.base import Tolerant
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.contracts.jobs import ArtifactRef

_MAX_DIRECTORY_BYTES: Final = MAX_BUNDLED_FILES * 2048
_END: Final = struct.Struct("<4s8xLLH")
"""How a zip ends that has no comment: its directory's size and place (APPNOTE 4.3.16)."""
_ENTRY: Final = b"PK\x01\x02"
_END_OF_64_BITS: Final = b"PK\x06\x07"
_LOCATOR_BYTES: Final = 20
_LOCAL_HEADER_BYTES: Final = 30
_NAME_LENGTH_AT: Final = 26
_UTF8: Final = 0x800
_DAMAGED: Final = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, OverflowError, RuntimeError, struct.error,
)  # fmt: skip


class BundledFile(Tolerant):
    """One file of a bundle; its bytes are the bundle's from ``offset`` on."""

    ref: ArtifactRef
    offset: int


BUNDLE_LIST: Final = TypeAdapter(list[BundledFile])


def read_bundle(body: BinaryIO) -> list[BundledFile]:
    """What is in it; ``body`` is at its beginning afterwards. Raises ValidationFailed, which names the entry."""
    try:
        _require_few_entries(body)
        with zipfile.ZipFile(cast(IO[bytes], body)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BUNDLE_BYTES:  # some share their bytes
                raise _refused("", f"has files of more than {MAX_BUNDLE_BYTES} bytes together")
            found = [_file(archive, entry, body) for entry in entries]
    except _DAMAGED as error:
        raise _refused("", f"is no zip that can be read ({type(error).__name__})") from None
    if len({each.ref.path for each in found}) < len(found):
        raise _refused("", "has two files of one path")
    body.seek(0)
    return found


def _require_few_entries(body: BinaryIO) -> None:
    """Before the library makes an object of each: a body has room for hundreds of thousands, whatever number it says.

    Raises ValidationFailed.
    """
    end = body.seek(0, os.SEEK_END) - _END.size
    if end < 0:
        raise EOFError
    body.seek(max(0, end - _LOCATOR_BYTES))
    before, ending = body.read(min(end, _LOCATOR_BYTES)), body.read()
    signature, size, _, comment = _END.unpack(ending)
    if signature != b"PK\x05\x06" or comment or before.startswith(_END_OF_64_BITS):
        raise _refused("", "is no zip without a comment and without 64-bit sizes")
    if size > _MAX_DIRECTORY_BYTES or size > end:
        raise _refused("", f"has a list of {size} bytes; at most {_MAX_DIRECTORY_BYTES} are allowed")
    body.seek(end - size)
    count = body.read(size).count(_ENTRY)
    if count > MAX_BUNDLED_FILES:
        raise _refused("", f"has {count} files; at most {MAX_BUNDLED_FILES} are allowed")


def _file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, body: BinaryIO) -> BundledFile:
    path = entry.filename
    check_artifact_path(path)
    body.seek(entry.header_offset + _NAME_LENGTH_AT)
    name, extra = struct.unpack("<HH", body.read(4))
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ~_UTF8:
        raise _refused(path, "must be stored as it is: no compression, no encryption, no late sizes")
    digest, size = hashlib.sha256(), 0
    with archive.open(entry) as file:
        while piece := file.read(1 << 18):
            digest.update(piece)
            size += len(piece)
    if entry.comment.decode("ascii", "replace") != digest.hexdigest():
        raise _refused(path, "needs its SHA-256 in hexadecimal as its comment: it has another, or was changed")
    executable = bool(entry.external_attr >> 16 & stat.S_IXUSR)
    ref = ArtifactRef(path=path, size=size, sha256=digest.hexdigest(), executable=executable)
    return BundledFile(ref=ref, offset=entry.header_offset + _LOCAL_HEADER_BYTES + name + extra)


def _refused(path: str, why: str) -> ValidationFailed:
    what = f"{path[:200]!r} in the bundle" if path else "The bundle"
    return ValidationFailed(f"{what} {why}.", [FieldError(field=path[:200] or "body", message=why)])
