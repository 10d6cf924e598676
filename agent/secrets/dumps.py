"""Dumps of bytes in a stream: ``xxd``, ``hexdump -C``, ``od -tx1``, ``od -x`` and others that print hexadecimal digits
with blanks, colons or commas between them, with or without addresses and a column of text. Pure.

A dump is read as its digits alone, in lower case, so that a secret's form is found in it over any number of lines. What
is masked reaches to the end of a line, for the column of text has the value in clear. Reading dumps is slow, so it is
done only where four bytes of a secret stand as a dump has them (``triggers_of``), and at the very end of what has come
so far. Lines of fewer than four bytes, octal words and single characters (``od -c``) are not read.
Deliberately not here: the search (``redact``).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

_WINDOW: Final = 4
_TAIL_BYTES: Final = 200
LONGEST_LINE: Final = 256
"""A dump's line is not longer: what is masked to its end waits for no more than this."""
_DIGIT: Final = rb"[0-9A-Fa-f]"
_PAIR: Final = _DIGIT + rb"{2}(?!" + _DIGIT + rb")"
_WORD: Final = _DIGIT + rb"{4}(?!" + _DIGIT + rb")"
_ALONE: Final = rb"(?<!" + _DIGIT + rb")"
_RUN: Final = re.compile(
    rb"(?:\\x" + _DIGIT + rb"{2}){4,}"
    rb"|0x" + _PAIR + rb"(?:, ?0x" + _PAIR + rb"){3,}"
    rb"|"
    + _ALONE
    + rb"(?:"
    + _DIGIT
    + rb"{2}(?:[ :]"
    + _PAIR
    + rb")+(?:  "
    + _PAIR
    + rb"(?: "
    + _PAIR
    + rb")+)?"  # hexdump -C has a gap
    rb"|" + _WORD + rb"(?: " + _WORD + rb")+(?: " + _PAIR + rb")?"
    rb"|" + _WORD + rb" " + _PAIR + rb")"
)
_UNFINISHED: Final = re.compile(
    _ALONE + rb"(?:(?:0x|\\x)?" + _DIGIT + rb"{1,4}(?:, ?| {1,2}|:|(?=\\)|\Z))+(?:0x?|\\x?)?\Z"
)
_PERHAPS_ADDRESS: Final = re.compile(rb"(?:\n|\A)[ \t]*" + _DIGIT + rb"{1,4}\Z")
_HALF_PREFIX: Final = re.compile(rb"0x" + _DIGIT + rb"{2}, ?0\Z")
_TEXT_FOLLOWS: Final = re.compile(rb" ?(?:  | ?[|>])")
"""Behind a run: the rest of its line is its bytes as text."""
_NO_DIGITS: Final = re.compile(rb"0x|\\x|[^0-9A-Fa-f]+")


def digits_of(value: bytes) -> Iterator[bytes]:
    """A value's digits as dumps have them: byte by byte, and in words of two bytes whose second comes first."""
    yield value.hex().encode()
    for inner in (value, value[1:]):
        yield b"".join(b"%02x%02x" % (second, first) for first, second in zip(inner[::2], inner[1::2], strict=False))


def triggers_of(value: bytes) -> Iterator[bytes]:
    """Four bytes of a value, at each place of a line's beginning, in each way in which dumps have them."""
    for offset in range(min(_WINDOW, len(value) - _WINDOW + 1)):
        window = value[offset : offset + _WINDOW]
        for lower in _ways([b"%02x" % byte for byte in window]):
            yield lower
            yield lower.upper().replace(b"X", b"x")


class Dumped:
    """The digits of all dumps in ``data``, in lower case, and where each was."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts: list[int] = []
        self._origins: list[int] = []
        pieces: list[bytes] = []
        length = 0
        for begin, piece in _pieces(data, _runs(data)):
            self._starts.append(length)
            self._origins.append(begin)
            pieces.append(piece)
            length += len(piece)
        self.digits = b"".join(pieces).lower()

    def origin(self, position: int) -> int:
        """Where a digit was."""
        index = bisect_right(self._starts, position) - 1
        return self._origins[index] + position - self._starts[index]

    def line_end(self, position: int) -> int | None:
        """The end of the line of the digit before ``position``; None when the line has not come to its end."""
        behind = self.origin(position - 1) + 1
        end = self._data.find(b"\n", behind)
        if end >= 0 and end - behind <= LONGEST_LINE:
            return end
        return behind if end >= 0 or len(self._data) - behind > LONGEST_LINE else None

    def position(self, origin: int) -> int:
        """The first digit that was there or behind."""
        index = bisect_right(self._origins, origin) - 1
        if index < 0:
            return 0
        following = self._starts[index + 1] if index + 1 < len(self._starts) else len(self.digits)
        return min(self._starts[index] + origin - self._origins[index], following)


def tail_of(data: bytes) -> int:
    """Where the last two lines begin, as far as a dump's are long."""
    least = max(0, len(data) - 2 * LONGEST_LINE)
    last = data.rfind(b"\n", least)
    return max(least, data.rfind(b"\n", least, last) + 1) if last >= 0 else least


def _ways(pairs: list[bytes]) -> Iterator[bytes]:
    first, second, third, fourth = pairs
    for between in (b" ", b":", b", ", b",", b""):
        prefix = b"" if between in {b" ", b":"} else b"\\x" if not between else b"0x"
        yield between.join(prefix + pair for pair in pairs)
    yield first + second + b" " + third + fourth
    yield first + b" " + second + third + b" " + fourth
    yield second + first + b" " + fourth + third
    for gap in range(1, _WINDOW):
        yield b" ".join(pairs[:gap]) + b"  " + b" ".join(pairs[gap:])


def _runs(data: bytes) -> Iterator[tuple[int, int]]:
    end = 0
    while (found := _RUN.search(data, end)) is not None:
        yield found.span()
        end = found.end()
        if _TEXT_FOLLOWS.match(data, end):
            end = data.find(b"\n", end)
            if end < 0:
                return
    unfinished = _UNFINISHED.search(data, max(end, len(data) - _TAIL_BYTES))
    if unfinished is not None and not _PERHAPS_ADDRESS.search(data, max(0, unfinished.start() - 16)):
        half = 1 if _HALF_PREFIX.search(data, max(0, unfinished.start() - 6)) else 0
        yield unfinished.start(), len(data) - half


def _pieces(data: bytes, runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """Digits without what is between them, and where they begin."""
    for begin, end in runs:
        position = begin
        for gap in _NO_DIGITS.finditer(data, begin, end):
            if gap.start() > position:
                yield position, data[position : gap.start()]
            position = gap.end()
        if position < end:
            yield position, data[position:end]
