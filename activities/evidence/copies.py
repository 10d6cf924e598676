"""Copies of events in lists, compared with the rows of the feed in bounded memory.

Both sides are added up in many small sums, by where a copy stands. Equal sums hold equal copies: each number that is
added is a digest under a key of this verification's own. Only where a sum differs, rows and copies are read once more
and matched one by one (``matching``).

What happened before the first seal is looked up row by row; a copy of that time that no row has is of before events had
numbers, or somebody put it there: nobody can tell, so these are counted and no more.
"""

import hashlib
import secrets
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from activities.stores.interfaces.evidence import CopyName, EventCopy
from workflows.contracts.audit.seals import number_at

_SUMS: Final = 1 << 16
_RANGE: Final = 1 << 128
MOST_MATCHED: Final = 200_000
"""So many copies are matched one by one; where more sums differ, some of them are not looked into."""
_DIGEST_BYTES: Final = 16
_DAY_MS: Final = 24 * 3_600_000


def text_digest(document: str) -> bytes:
    """SHA-256 of an event's text."""
    return hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Covered:
    """Which time is covered: from the first seal (None: there is none) to the beginning of the verification."""

    since: int | None
    began: int

    def by_sums(self, name: CopyName) -> bool:
        """What stands there must have a row, and the reverse. A time that is to come covers nothing by itself."""
        at = _time(name)
        if at is None:
            return True
        if self.since is None or at < self.since:
            return False
        return at < self.began or at > self.began + _DAY_MS

    def is_new(self, name: CopyName) -> bool:
        """It was kept while the verification was under way."""
        at = _time(name)
        return at is not None and self.began <= at <= self.began + _DAY_MS


class CopySums:
    """The sums: what must be there is added, what is there is taken away."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._sums = [0] * _SUMS
        self._copies = 0

    def expect(self, names: Iterable[CopyName], digest: bytes) -> None:
        """Copies of the event with this text must stand there."""
        for name in names:
            bucket, value = self._value(name, digest)
            self._sums[bucket] = (self._sums[bucket] + value) % _RANGE
            self._copies += 1

    def found(self, copy: EventCopy) -> None:
        """This one stands there."""
        bucket, value = self._value(copy.name, text_digest(copy.document))
        self._sums[bucket] = (self._sums[bucket] - value) % _RANGE

    def differing(self) -> "Differing":
        """The sums that are not equal, as many as may be looked into."""
        unequal = [bucket for bucket, rest in enumerate(self._sums) if rest]
        most = MOST_MATCHED // max(1, self._copies // _SUMS)
        return Differing(frozenset(unequal[:most]), len(unequal[most:]))

    def _value(self, name: CopyName, digest: bytes) -> tuple[int, int]:
        made = hashlib.blake2b(_where(name) + digest, key=self._key, digest_size=_DIGEST_BYTES).digest()
        return zlib.crc32(_where(name)) % _SUMS, int.from_bytes(made, "big")


@dataclass(frozen=True, slots=True)
class Differing:
    """Sums to be looked into; ``left_out``: so many others differ as well."""

    buckets: frozenset[int]
    left_out: int

    def among(self, names: Sequence[CopyName]) -> list[CopyName]:
        """Those of these names that are in one of the sums."""
        return [name for name in names if zlib.crc32(_where(name)) % _SUMS in self.buckets]


def _where(name: CopyName) -> bytes:
    return f"{name.list_name}\0{name.place}".encode("utf-8", "surrogatepass")


def _time(name: CopyName) -> int | None:
    at = name.place.partition("#")[0]
    return number_at(at)
