"""A bundle: many small artifacts in one body, a zip without compression, each entry with its SHA-256 as comment.

It is checked as a whole before any of it is kept, and kept with a list of where each file is, so that a thousand files
cost two objects and none is ever there by half. Pure but for the file it reads; blocking. Deliberately not here: where
it is kept (``s3.bundles``), who sends it (``agent.artifacts.bundling``).
"""

import hashlib
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
        with zipfile.ZipFile(cast(IO[bytes], body)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_BUNDLED_FILES:
                raise _refused("", f"has {len(entries)} files; at most {MAX_BUNDLED_FILES} are allowed")
            if sum(entry.file_size for entry in entries) > MAX_BUNDLE_BYTES:  # some share their bytes
                raise _refused("", f"has files of more than {MAX_BUNDLE_BYTES} bytes together")
            found = [_file(archive, entry, body) for entry in entries]
    except _DAMAGED as error:
        raise _refused("", f"is no zip that can be read ({type(error).__name__})") from None
    if len({each.ref.path for each in found}) < len(found):
        raise _refused("", "has two files of one path")
    body.seek(0)
    return found


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
