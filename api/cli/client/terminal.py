"""A log on a terminal: colours pass, and nothing else that steers it.

What a job prints is foreign text. Moving the cursor it could overwrite lines that were shown; other sequences set the
window's title, write the clipboard, make links, or have the terminal type something. A line that is drawn again (a
progress bar) becomes one line after the other. `job logs --raw` passes all; what is piped is as it is stored.
"""

import codecs
import re
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO, Final, Protocol, TextIO

_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_SEQUENCE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: the cursor, and colours
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\x18\x1a]*(\x07|\x1b\\|\x9c|\x18|\x1a)"  # OSC, DCS, SOS, PM, APC with all they say
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"
)
_BEGUN: Final = re.compile(r"\x1b(\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c\x18\x1a]*\x1b?|[ -/]*)?")
_LONGEST: Final = 4096
"""Of a sequence that is waited for: a longer one is no sequence, and its escape is shown as a sign."""
_STEERS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SIGN: Final = "\N{REPLACEMENT CHARACTER}"
_RESET: Final = "\x1b[0m"
_PLAIN: Final = re.compile(r"\x1b\[[0;:]*m")


class LogSink(Protocol):
    """Where a log goes."""

    def write(self, data: bytes, /) -> object:
        """Its next bytes."""
        ...

    def flush(self) -> object:
        """Somebody is watching."""
        ...


@contextmanager
def sink_for(stream: TextIO, *, raw: bool = False) -> Generator[LogSink]:
    """The stream's own bytes, or what of them a terminal may see."""
    if raw or not stream.isatty():
        yield stream.buffer
        return
    terminal = TerminalSink(stream.buffer)
    try:
        yield terminal
    finally:
        terminal.close()


class TerminalSink:
    """In front of a terminal's stream. Keeps its place across pieces that are cut anywhere."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # the beginning of a sequence, or a carriage return
        self._coloured = False

    def write(self, data: bytes) -> None:
        """Pass on what may pass; an unfinished sequence is held back."""
        self._stream.write(self._cleared(self._held + self._decoder.decode(data)).encode("utf-8"))

    def flush(self) -> None:
        """To the terminal."""
        self._stream.flush()

    def close(self) -> None:
        """The log is over: what is held back is no sequence any more, and its colour ends with it."""
        text, self._held = self._held + self._decoder.decode(b"", final=True), ""
        rest = text.replace("\r", "\n").replace("\x1b", _SIGN)
        self._stream.write((_STEERS.sub(_SIGN, rest) + (_RESET if self._coloured else "")).encode("utf-8"))
        self._coloured = False
        self.flush()

    def _cleared(self, text: str) -> str:
        out: list[str] = []
        position, self._held = 0, ""
        while (escape := text.find("\x1b", position)) >= 0:
            out.append(_text(text[position:escape]))
            found = _SEQUENCE.match(text, escape)
            if found is not None:
                out.append(self._colour(found[0]))
                position = found.end()
            elif _BEGUN.fullmatch(text, escape) and len(text) - escape < _LONGEST:
                self._held = text[escape:]
                return "".join(out)
            else:
                out.append(_SIGN)
                position = escape + 1
        rest = text[position:]
        if rest.endswith("\r"):  # half of a line end, perhaps
            rest, self._held = rest[:-1], "\r"
        out.append(_text(rest))
        return "".join(out)

    def _colour(self, sequence: str) -> str:
        if not _COLOUR.fullmatch(sequence):
            return ""
        self._coloured = not _PLAIN.fullmatch(sequence)
        return sequence


def plain(data: bytes) -> str:
    """The text alone, without colours: for a few lines of a log among lines of ours."""
    kept = BytesIO()
    terminal = TerminalSink(kept)
    terminal.write(data)
    terminal.close()
    return _COLOUR.sub("", kept.getvalue().decode("utf-8"))


def _text(text: str) -> str:
    return _STEERS.sub(_SIGN, text.replace("\r\n", "\n").replace("\r", "\n"))
