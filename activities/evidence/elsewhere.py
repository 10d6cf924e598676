"""Copies of seals elsewhere: whoever can write to the store cannot change what is there.

To a file, a line each, and to an address, in order: what was not taken is sent again with the next, and nothing is left
out. A seal may come twice; its number tells. Without the digests of single rows, which the store keeps.
Deliberately not here: reading them back to compare (``hybridci audit verify --seals``).
"""

import asyncio
import fcntl
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from activities.evidence.keys import UnusableSealKeyError
from activities.stores.interfaces.evidence import EvidenceStore
from workflows.contracts.audit.seals import SignedSeal

logger = logging.getLogger(__name__)

_A_TIME: Final = 100
_SECONDS: Final = 10.0
_TAIL_BYTES: Final = 256 * 1024
"""A line is shorter: 64 shards, and some hundred segments that go."""


class Elsewhere(Protocol):
    """A place for copies."""

    async def sent(self) -> int:
        """The number of the last seal that is there; 0: none. Raises OSError, Unavailable."""
        ...

    async def send(self, seals: Sequence[SignedSeal]) -> None:
        """Put these there, in order. Raises CopyRefusedError, OSError, Unavailable."""
        ...


class CopyRefusedError(Exception):
    """The place does not take it now. The message says why."""


class SealsFile:
    """A file of JSON lines, appended to and synced; shared by the workers of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def sent(self) -> int:
        """See Elsewhere."""
        last = await asyncio.to_thread(self.last)
        return 0 if last is None else last.number

    def last(self) -> SignedSeal | None:
        """The last seal of the file: what a worker that starts remembers. Raises OSError."""
        try:
            with self._path.open("rb") as file:
                return _last_of(file.fileno())
        except FileNotFoundError:
            return None

    async def send(self, seals: Sequence[SignedSeal]) -> None:
        """See Elsewhere."""
        await asyncio.to_thread(self._append, seals)

    def _append(self, seals: Sequence[SignedSeal]) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _cut_broken_line(descriptor)
            last = _last_of(descriptor)
            new = [seal for seal in seals if last is None or seal.number > last.number]
            lines = b"".join(as_line(seal) for seal in new)
            while lines:
                lines = lines[os.write(descriptor, lines) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class SealsUrl:
    """An address that seals are POSTed to, as JSON lines. What was taken is kept in the store."""

    def __init__(self, url: str, store: EvidenceStore) -> None:
        self._url, self._store = url, store
        self._name = hashlib.sha256(url.encode()).hexdigest()[:16]

    async def sent(self) -> int:
        """See Elsewhere."""
        return await self._store.sent(self._name)

    async def send(self, seals: Sequence[SignedSeal]) -> None:
        """See Elsewhere."""
        import httpx  # only for who sends

        body = b"".join(as_line(seal) for seal in seals)
        try:
            async with httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False) as client:
                answer = await client.post(self._url, content=body, headers={"Content-Type": "application/jsonl"})
        except httpx.HTTPError as error:
            raise CopyRefusedError(f"it does not answer ({type(error).__name__})") from error
        if not answer.is_success:
            raise CopyRefusedError(f"it answered {answer.status_code}")
        await self._store.mark_sent(self._name, seals[-1].number)


def check_seals_file(path: Path | None) -> None:
    """Raises UnusableSealKeyError when there is a file that cannot be read: what it remembers would be forgotten."""
    if path is None:
        return
    try:
        SealsFile(path).last()
    except OSError as error:
        raise UnusableSealKeyError(
            f"HYBRIDCI_SEALS_FILE names {path}, which cannot be read ({error.strerror})."
        ) from None


async def copy_seals(store: EvidenceStore, place: Elsewhere) -> int:
    """Send what is not there yet. How many. Raises as ``Elsewhere`` does."""
    behind, count = await place.sent(), 0
    while page := await store.seals(behind, _A_TIME):
        await place.send(page)
        behind, count = page[-1].number, count + len(page)
    return count


def as_line(seal: SignedSeal) -> bytes:
    """A seal as it is sent: its number, its text, its signature."""
    return seal.model_dump_json(exclude={"leaves"}).encode() + b"\n"


def _last_of(descriptor: int) -> SignedSeal | None:
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    for line in reversed(tail[: tail.rfind(b"\n") + 1].splitlines()):
        try:
            return SignedSeal.model_validate_json(line)
        except ValueError:
            continue
    return None


def _cut_broken_line(descriptor: int) -> None:
    """What a kill left of a line."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    broken = len(tail) - (tail.rfind(b"\n") + 1)
    if broken:
        os.ftruncate(descriptor, size - broken)
