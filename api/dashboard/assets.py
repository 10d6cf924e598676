"""The dashboard's own files: styles and scripts, under an address that has their digest, so that browsers keep them.

One digest for all: a module finds its neighbours by a relative address. Deliberately not here: what is in them.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from api.dashboard.log_html import colour_rules

STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent: plain, and compressed."""

    media_type: str
    plain: bytes
    packed: bytes


@dataclass(frozen=True, slots=True)
class Assets:
    """All files by name, and the digest of them."""

    digest: str
    files: Mapping[str, Asset]

    def url(self, name: str) -> str:
        """The address of a file, below the application's root. Raises KeyError for an unknown one."""
        if name not in self.files:
            raise KeyError(name)
        return f"/static/{self.digest}/{name}"


@cache
def assets() -> Assets:
    """Read once. Raises OSError."""
    files = {
        path.relative_to(STATIC).as_posix(): path.read_bytes()
        for path in sorted(STATIC.rglob("*"))
        if path.suffix in _TYPES
    }
    files["log.css"] += colour_rules().encode()
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    found = {
        name: Asset(_TYPES[Path(name).suffix], content, gzip.compress(content, 9, mtime=0))
        for name, content in files.items()
    }
    return Assets(digest.hexdigest()[:16], found)
