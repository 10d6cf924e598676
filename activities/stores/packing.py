"""How large documents are kept: compressed, and refused when that does not help. The same for every store.

Deliberately not here: what is in a document (``documents``).
"""

import zlib
from typing import Final

from workflows.contracts.errors import FieldError, ValidationFailed

_PACK_ABOVE_CHARACTERS: Final = 32 * 1024
_MAX_PACKED_BYTES: Final = 380 * 1024
"""DynamoDB's limit is 400 KB an item; the rest is for the other attributes."""
_MAX_SUMMARY_BYTES: Final = 100 * 1024
"""A summary is kept in several lists, in one transaction of at most 4 MB."""


def pack(document: str, field: str, name: str) -> str | bytes:
    """The document as it is, or compressed when it is large.

    Raises ValidationFailed, naming ``field`` (``job``) and the record's ``name``, for one that no item can hold.
    """
    if len(document) <= _PACK_ABOVE_CHARACTERS:
        return document
    packed = zlib.compress(document.encode(), level=1)
    if len(packed) > _MAX_PACKED_BYTES:
        problem = f"is {len(packed)} bytes long, compressed; at most {_MAX_PACKED_BYTES} can be stored"
        raise ValidationFailed(f"The record of {field} {name} {problem}.", [FieldError(field=field, message=problem)])
    return packed


def check_summary(summary: str, field: str, name: str) -> str:
    """The text that lists keep, which is not compressed. Raises ValidationFailed when it is too large."""
    size = len(summary.encode())
    if size > _MAX_SUMMARY_BYTES:
        problem = f"is {size} bytes long in lists; at most {_MAX_SUMMARY_BYTES} can be stored: shorten its messages"
        raise ValidationFailed(f"The record of {field} {name} {problem}.", [FieldError(field=field, message=problem)])
    return summary


def unpack(kept: str | bytes) -> str | bytes:
    """The document again, as text or its UTF-8 bytes."""
    return kept if isinstance(kept, str) else zlib.decompress(kept)
