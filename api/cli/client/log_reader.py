"""One attempt's log, read by its own byte offset, so that a broken stream goes on exactly where it broke.

Two things in the API's stream are not the log's bytes and are not counted: the time before each line, when asked for,
and the sentence with which the API explains why it ends a stream early (``api/log_text``: a line of its own that begins
with ``[hybridci]``). Deliberately not here: when to read again (``follow``).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import JOBS, ApiClient, ApiRefused

SILENCE_SECONDS: Final = 15.0
"""A followed stream without a byte for so long is opened again; the record may say that the attempt is over."""
_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|\d+ms) ")
_REMARK: Final = re.compile(
    rb"\n?\[hybridci\] (the server is stopping; go on with start=(\d+)|the rest of attempt \d+'s log was lost .*"
    rb"|attempt \d+'s log is not what its agent sent: .*)\n"
)
_LONGEST_REMARK: Final = 512


@dataclass(slots=True)
class LogReader:
    """Passes the bytes of one attempt's log to ``write``, each once. ``part``: only these, as the API is asked for them
    (``lines``, ``step``); a part without an end can be followed.
    """

    api: ApiClient
    job_id: str
    attempt: int
    write: Callable[[bytes], None]
    timestamps: bool = False
    part: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    offset: int = field(default=0, init=False)
    altered: str | None = field(default=None, init=False)
    """What the API says of a log that is not the one that the agent sent."""
    _partial: bytes = field(default=b"", init=False)
    _held: bytes = field(default=b"", init=False)
    _tail: bytes = field(default=b"", init=False)

    @property
    def seen(self) -> int:
        """How many of the log's own bytes have arrived; with timestamps the last line can still be held back."""
        return self.offset + len(_unstamped(self._partial))

    def read(self, *, follow: bool) -> None:
        """What the API has from ``offset`` on, and with ``follow`` what comes until it ends the stream or is silent.

        May be called again after any CliError.
        """
        self._partial = self._held = self._tail = b""
        params: dict[str, str | int] = {"attempt": self.attempt, **(self.part or {"start": self.offset})}
        options = {"follow": "true" if follow else None, "timestamps": "true" if self.timestamps else None}
        silence = SILENCE_SECONDS if follow else None
        try:
            with self.api.stream(
                f"{JOBS}/{self.job_id}/logs", {**params, **options}, silence_seconds=silence, told=self._begun
            ) as pieces:
                self._copy(pieces)
        except ApiRefused as error:
            # An attempt that was declined or lost before its first line has no log.
            if error.status != HTTPStatus.NOT_FOUND or self.part:
                raise

    def _begun(self, headers: Mapping[str, str]) -> None:
        """Where the part begins; from there on it is read by offsets."""
        if "since" in self.part and "log-start" not in headers:
            raise CliError("This API is older and does not know --since: use --lines or --tail.", USAGE)
        if self.part and "log-start" in headers:
            self.offset, self.part = int(headers["log-start"]), {}

    def flush(self) -> None:
        """Pass on a last line without a line end: nothing will follow it."""
        if self._partial:
            self.write(self._partial + b"\n")
            self.offset = self.seen
            self._partial = b""

    def _copy(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            if self._held or piece.startswith((b"[hybridci] ", b"\n[hybridci] ")):
                # The API sends its remark as a piece of its own, and nothing after it: what follows tells them apart.
                self._held += piece
                if _REMARK.fullmatch(self._held) or _may_become_remark(self._held):
                    continue
                piece, self._held = self._held, b""
            self._take(piece)
        remark = _REMARK.fullmatch(self._held)
        if remark is None:
            self._take(self._held)
        elif b"is not what its agent sent" in remark[1]:
            self.altered = remark[1].decode("utf-8", "replace")
        self._correct_offset()

    def _take(self, piece: bytes) -> None:
        if not piece:
            return
        self._tail = (self._tail + piece)[-_LONGEST_REMARK:]
        if not self.timestamps:
            self.write(piece)
            self.offset += len(piece)
            return
        # Only whole lines are passed on, so that a broken stream goes on at the beginning of a line.
        *lines, self._partial = (self._partial + piece).split(b"\n")
        if lines:
            self.write(b"".join(line + b"\n" for line in lines))
            self.offset += sum(len(_unstamped(line)) + 1 for line in lines)

    def _correct_offset(self) -> None:
        """A proxy may have joined the remark with the bytes before it; it says itself where the log's bytes end."""
        for found in _REMARK.finditer(self._tail):
            if found.end() == len(self._tail) and found[2] is not None and int(found[2]) < self.offset:
                self.offset = int(found[2])


def _may_become_remark(held: bytes) -> bool:
    return len(held) < _LONGEST_REMARK and b"\n" not in held[1:]


def _unstamped(line: bytes) -> bytes:
    found = _STAMP.match(line)
    return line[found.end() :] if found else line
