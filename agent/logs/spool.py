"""An attempt's output on disk, between the process that writes it and the API that keeps it.

Memory stays bounded whatever a job prints: bytes go to a file at once and are read back a chunk at a time. The spool's
folder holds ``log`` (renamed to ``log.ended`` when it is complete, so that a ``log`` found at start belongs to an agent
that died), ``marks`` (16 bytes each: offset, epoch ms) and ``cut`` (the chunk that was sent last). What the disk does
not take any more, or lost, is said in a few sentences that are kept in memory behind the file.
Digests are SHA-256 of all bytes up to a place: of what is kept, for the attempt's result, and of what is sent.
Deliberately not here: sending (``sender``), and removing the folder (``attempt.directory``).
"""

import asyncio
import logging
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from workflows.contracts.attempts import MAX_CHUNK_BYTES, MAX_LOG_BYTES
from workflows.contracts.running_digest import RunningDigest

MAX_MARKS: Final = 500
"""Per chunk: they travel in an HTTP header."""
LOST_MARKER: Final = "[hybridci] the agent was lost here"
_MAX_TAIL: Final = 3 * 1024
"""Of our own sentences in memory, less than what the API takes beyond a result's count."""
_READ_BYTES: Final = 1 << 20
_MARK: Final = struct.Struct("<QQ")
_MARK_EVERY_MS: Final = 10

Bytes = bytes | bytearray | memoryview

logger = logging.getLogger(__name__)


class SpoolDamagedError(Exception):
    """What was to be sent is not in the spool's file any more: the log ends before it, with a sentence."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Which bytes a chunk holds, and when they were read: (offset in the chunk, epoch ms). Sent again as it was."""

    start: int
    end: int
    final: bool
    marks: list[tuple[int, int]]


def epoch_ms() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


class LogSpool:
    """One attempt's log. Not thread-safe: everything happens on the event loop.

    The first ``write`` that the disk refuses raises OSError; what comes later is dropped, and what was stored is still
    sent, with a sentence that says so. ``cut_off`` is that sentence, or None. ``fresh`` is set while there is something
    to send, ``urgent`` while it should not wait for more.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_LOG_BYTES, now_ms: Callable[[], int] = epoch_ms) -> None:
        self._folder, self._max_bytes, self._now_ms = folder, max_bytes, now_ms
        self._file, self._marks = -1, -1
        self._marks_done = 0
        self._marked_at = 0
        self._last_byte = b"\n"
        self._first_cut_end: int | None = None
        self.fresh, self.urgent = asyncio.Event(), asyncio.Event()
        self._in_file, self._tail = 0, b""
        self._kept, self._passed = RunningDigest(), RunningDigest()
        self._passing = self._passed
        self._last_read = self._last_passed = b"\n"
        self.cut_off: str | None = None
        self.finished = False
        self.size, self.sent, self.dropped = 0, 0, 0

    @classmethod
    def create(cls, folder: Path, *, max_bytes: int = MAX_LOG_BYTES, now_ms: Callable[[], int] = epoch_ms) -> Self:
        """Begin an empty log. Raises OSError."""
        spool = cls(folder, max_bytes=max_bytes, now_ms=now_ms)
        for stale in ("log.ended", "cut"):
            (folder / stale).unlink(missing_ok=True)
        spool._open("log", os.O_CREAT | os.O_TRUNC)
        return spool

    @classmethod
    def take_over(cls, folder: Path) -> Self | None:
        """Finish and reopen what a dead agent left, or None when it left no log. Raises OSError."""
        spool = cls(folder)
        ended = (folder / "log.ended").exists()
        if not ended and not (folder / "log").exists():
            return None
        spool._open("log.ended" if ended else "log", 0)
        spool.size = spool._in_file = os.fstat(spool._file).st_size
        if spool.size:
            spool._last_byte = os.pread(spool._file, 1, spool.size - 1)
        spool._resume()
        spool._hash_file()
        if not ended:
            spool.line(LOST_MARKER)
            spool.finish()
        spool.finished = True
        spool._wake()
        return spool

    def write(self, data: Bytes) -> None:
        """Append output; what is over the limit, or comes after the log was cut off, is counted and dropped."""
        if self.cut_off is not None:
            self.dropped += len(data)
            return
        if self.dropped == 0 and self.size + len(data) <= self._max_bytes:
            self._append(data)
            return
        if self.dropped == 0:
            room = max(self._max_bytes - self.size, 0)
            self._append(memoryview(data)[:room])
            self.line(f"[hybridci] The log reached its limit of {self._max_bytes} bytes: what follows is dropped.")
            self.dropped = len(data) - room
            return
        self.dropped += len(data)

    def line(self, text: str) -> None:
        """Append a line of the agent's own, on a line of its own, the limit notwithstanding."""
        start = "" if self._last_byte == b"\n" else "\n"
        self._append(f"{start}{text}\n".encode(errors="replace"))

    @property
    def sha256(self) -> str:
        """Of the whole log so far, in hexadecimal."""
        return self._kept.hexdigest()

    def finish(self) -> None:
        """No more output; the file's name says so from here on, also to the next agent. Raises OSError."""
        if self.finished:
            return
        if self.cut_off is None and self._file >= 0 and (left := os.fstat(self._file).st_size) < self._in_file:
            self._lose(max(left, self.sent))
        if self.dropped:
            self.line(f"[hybridci] {self.dropped} bytes of output were dropped.")
        self.finished = True
        self._wake()
        if self._file >= 0:
            try:
                os.replace(self._folder / "log", self._folder / "log.ended")
            except FileNotFoundError:
                logger.warning("The spool %s was removed; what is open of it is sent", self._folder)

    def cut(self) -> Cut:
        """The next chunk: at most 1 MiB and 500 marks, the first of them at its beginning."""
        start = self.sent
        end = min(self.size, self._first_cut_end or start + MAX_CHUNK_BYTES)
        marks = self._read_marks(MAX_MARKS + 1)
        while len(marks) > 1 and marks[1][0] <= start:
            self._marks_done += 1
            marks = self._read_marks(MAX_MARKS + 1)
        if len(marks) > MAX_MARKS and self._first_cut_end is None:
            end = min(end, marks[MAX_MARKS][0])
        inside = [(max(offset - start, 0), at) for offset, at in marks[:MAX_MARKS] if offset < end and start < end]
        return Cut(start, end, self.finished and end == self.size, inside)

    def remember(self, cut: Cut) -> None:
        """Keep a cut before it is sent: the next agent must send the same. A final one comes out the same anyway."""
        if cut.final or not self._folder.exists():
            return
        try:
            (self._folder / "cut").write_text(f"{cut.start} {cut.end}")
        except OSError as error:  # the disk is full: only the next agent would miss it
            logger.warning("What was sent of the log in %s cannot be noted: %s", self._folder, error)

    def read(self, cut: Cut) -> tuple[bytes, str]:
        """The chunk's bytes, most likely out of the page cache, and the digest of the log up to its end.

        Raises SpoolDamagedError when they are gone; the next cut is another then.
        """
        in_file = min(cut.end, self._in_file)
        data = os.pread(self._file, in_file - cut.start, cut.start) if cut.start < in_file else b""
        if cut.start < in_file and len(data) < in_file - cut.start:
            self._lose(cut.start + len(data))
            raise SpoolDamagedError
        data += self._tail[max(0, cut.start - self._in_file) : max(0, cut.end - self._in_file)]
        self._passing = self._passed.copy()
        self._passing.update(data)
        self._last_read = data[-1:]
        return data, self._passing.hexdigest()

    def acknowledged(self, cut: Cut) -> None:
        """The API has it."""
        self.sent, self._passed = cut.end, self._passing
        if cut.end > cut.start:
            self._last_passed = self._last_read
        self._first_cut_end = None
        self._marks_done += max(len(cut.marks) - 1, 0)  # the last one also covers what follows
        if self.finished:
            return
        if self.size == self.sent:
            self.fresh.clear()
        if self.size - self.sent < MAX_CHUNK_BYTES:
            self.urgent.clear()

    def close(self) -> None:
        """Let go of the files; further output goes nowhere."""
        for file in (self._file, self._marks):
            if file >= 0:
                os.close(file)
        self._file = self._marks = -1

    def _open(self, name: str, flags: int) -> None:
        mode = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags
        self._file = os.open(self._folder / name, mode, 0o600)
        self._marks = os.open(self._folder / "marks", mode | os.O_CREAT, 0o600)

    def _resume(self) -> None:
        """Go on where the dead agent was: its last chunk may have been taken or not, so it is sent again as it was."""
        file = self._folder / "cut"
        if not file.exists():
            return
        numbers = file.read_text().split()
        if len(numbers) == 2 and int(numbers[0]) < int(numbers[1]) <= self.size:
            self.sent, self._first_cut_end = int(numbers[0]), int(numbers[1])

    def _append(self, data: Bytes) -> None:
        if self._file < 0 or self.finished or not len(data):
            return
        if self.cut_off is not None:
            self._append_in_memory(bytes(data))
            return
        before, error = self.size, None
        try:
            now = self._now_ms()
            if now - self._marked_at >= _MARK_EVERY_MS:
                os.write(self._marks, _MARK.pack(self.size, now))
                self._marked_at = now
            while self.size - before < len(data):
                self.size += os.write(self._file, memoryview(data)[self.size - before :])
        except OSError as caught:
            error = caught
        taken = self.size - before
        self._in_file = self.size
        if taken:
            self._kept.update(memoryview(data)[:taken])
            self._last_byte = bytes(data[taken - 1 : taken])
            self._wake()
        if error is not None:
            self.dropped += len(data) - taken
            self._say_cut_off(f"the agent's disk did not take what came next ({error.strerror})")
            raise error

    def _append_in_memory(self, data: bytes) -> None:
        if len(self._tail) + len(data) <= _MAX_TAIL:
            self._tail += data
            self.size += len(data)
            self._kept.update(data)
            self._last_byte = data[-1:]
            self._wake()

    def _say_cut_off(self, why: str) -> None:
        self.cut_off = f"The log was cut off at byte {self.size}: {why}."
        self.line(f"[hybridci] {self.cut_off}")

    def _lose(self, end: int) -> None:
        """Somebody took from the file what was in it: the log ends at ``end``; all before it is there or was sent."""
        lost, self.size, self._in_file, self._tail = self.size - end, end, end, b""
        self._kept = self._passed.copy()
        self._hash(self._kept, self.sent, end)
        self._last_byte = self._last_passed if end == self.sent else os.pread(self._file, 1, end - 1)
        self._first_cut_end = None
        was_finished, self.finished = self.finished, False
        self._say_cut_off(f"{lost} bytes were lost, because the agent's copy of them was removed")
        self.finished = was_finished
        self._wake()

    def _hash_file(self) -> None:
        """After a crash the digests are those of what is in the file."""
        self._hash(self._passed, 0, self.sent)
        self._kept = self._passed.copy()
        self._hash(self._kept, self.sent, self._in_file)

    def _hash(self, digest: RunningDigest, start: int, end: int) -> None:
        while start < end and (data := os.pread(self._file, min(_READ_BYTES, end - start), start)):
            digest.update(data)
            start += len(data)

    def _wake(self) -> None:
        if self.finished or self.size > self.sent:
            self.fresh.set()
        if self.finished or self.size - self.sent >= MAX_CHUNK_BYTES:
            self.urgent.set()

    def _read_marks(self, count: int) -> list[tuple[int, int]]:
        raw = os.pread(self._marks, _MARK.size * count, self._marks_done * _MARK.size)
        return list(_MARK.iter_unpack(raw[: len(raw) - len(raw) % _MARK.size]))
