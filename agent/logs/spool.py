"""An attempt's output on disk, between the process that writes it and the API that keeps it.

Memory stays bounded whatever a job prints: bytes go to a file at once and are read back a chunk at a time. The spool's
folder holds ``log`` (renamed to ``log.ended`` when it is complete, so that a ``log`` found at start belongs to an agent
that died), ``marks`` (16 bytes each: offset, epoch ms) and ``cut`` (the chunk that was sent last).
Deliberately not here: sending (``sender``), and removing the folder (``attempt.directory``).
"""

import asyncio
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from workflows.contracts.attempts import MAX_CHUNK_BYTES, MAX_LOG_BYTES

MAX_MARKS: Final = 500
"""Per chunk: they travel in an HTTP header."""
LOST_MARKER: Final = "[hybridci] the agent was lost here"
_MARK: Final = struct.Struct("<QQ")
_MARK_EVERY_MS: Final = 10

Bytes = bytes | bytearray | memoryview


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

    The first ``write`` or ``line`` that the disk refuses raises OSError; later ones are dropped, and what was stored is
    still sent. ``fresh`` is set while there is something to send, ``urgent`` while it should not wait for more.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_LOG_BYTES, now_ms: Callable[[], int] = epoch_ms) -> None:
        self._folder, self._max_bytes, self._now_ms = folder, max_bytes, now_ms
        self._file, self._marks = -1, -1
        self._marks_done = 0
        self._marked_at = 0
        self._last_byte = b"\n"
        self._first_cut_end: int | None = None
        self.fresh, self.urgent = asyncio.Event(), asyncio.Event()
        self._failed = False
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
        spool.size = os.fstat(spool._file).st_size
        if spool.size:
            spool._last_byte = os.pread(spool._file, 1, spool.size - 1)
        spool._resume()
        if not ended:
            spool.line(LOST_MARKER)
            spool.finish()
        spool.finished = True
        spool._wake()
        return spool

    def write(self, data: Bytes) -> None:
        """Append output; what is over the limit is counted and dropped."""
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

    def finish(self) -> None:
        """No more output; the file's name says so from here on, also to the next agent. Raises OSError."""
        if self.finished:
            return
        if self.dropped:
            self.line(f"[hybridci] {self.dropped} bytes of output were dropped.")
        self.finished = True
        self._wake()
        if self._file >= 0:
            os.replace(self._folder / "log", self._folder / "log.ended")

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
        if not cut.final:
            (self._folder / "cut").write_text(f"{cut.start} {cut.end}")

    def read(self, cut: Cut) -> bytes:
        """The chunk's bytes, most likely out of the page cache."""
        return os.pread(self._file, cut.end - cut.start, cut.start)

    def acknowledged(self, cut: Cut) -> None:
        """The API has it."""
        self.sent = cut.end
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
        if self._file < 0 or self._failed or self.finished or not len(data):
            return
        before = self.size
        try:
            now = self._now_ms()
            if now - self._marked_at >= _MARK_EVERY_MS:
                os.write(self._marks, _MARK.pack(self.size, now))
                self._marked_at = now
            while self.size - before < len(data):
                self.size += os.write(self._file, memoryview(data)[self.size - before :])
        except OSError:
            self._failed = True
            raise
        finally:
            if self.size > before:
                self._last_byte = bytes(data[self.size - before - 1 : self.size - before])
                self._wake()

    def _wake(self) -> None:
        if self.finished or self.size > self.sent:
            self.fresh.set()
        if self.finished or self.size - self.sent >= MAX_CHUNK_BYTES:
            self.urgent.set()

    def _read_marks(self, count: int) -> list[tuple[int, int]]:
        raw = os.pread(self._marks, _MARK.size * count, self._marks_done * _MARK.size)
        return list(_MARK.iter_unpack(raw[: len(raw) - len(raw) % _MARK.size]))
