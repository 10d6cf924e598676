"""The SHA-256 of what has passed by, asked for at any place of it: agents send it with a log, readers compare it."""

import hashlib
from typing import Self


class RunningDigest:
    """Of all bytes given to ``update`` so far."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        self._sha256.update(data)

    def hexdigest(self) -> str:
        """In hexadecimal, of the bytes so far."""
        return self._sha256.hexdigest()

    def copy(self) -> Self:
        """One that goes on from here by itself."""
        other = type(self)()
        other._sha256 = self._sha256.copy()
        return other
