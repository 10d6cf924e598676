"""What of a log a terminal gets, cut anywhere."""

import io
import random
from typing import cast

import pytest

from api.cli.client.terminal import TerminalSink, sink_for

SIGN = "\N{REPLACEMENT CHARACTER}"


def shown(data: bytes, *cuts: int) -> str:
    stream = io.BytesIO()
    sink = TerminalSink(stream)
    for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        sink.write(data[begin:end])
    sink.close()
    return stream.getvalue().decode()


CASES = [
    ("a \N{ROCKET} \N{GREEK SMALL LETTER ALPHA}\ttext\n", "a \N{ROCKET} \N{GREEK SMALL LETTER ALPHA}\ttext\n"),
    ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    ("\x1b[1;38;5;208mbold\x1b[m", "\x1b[1;38;5;208mbold\x1b[m"),
    ("\x1b[38:2::1:2:3mrgb\x1b[0m", "\x1b[38:2::1:2:3mrgb\x1b[0m"),
    ("\x1b[32mleft on", "\x1b[32mleft on\x1b[0m"),
    ("up\x1b[2A\x1b[2Kerased\x1b[10;10H\x1b[?25l\x1b[6n", "uperased"),
    ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
    ("\x1b]52;c;ZXZpbA==\x07clip", "clip"),
    ("\x1bP+q544e\x1b\\dcs\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\.", "dcs."),
    ("\x1bc\x1b7\x1b(0\x1b#8reset", "reset"),
    ("\x9b2Jc1\x9d0;t\x9c", f"{SIGN}2Jc1{SIGN}0;t{SIGN}"),
    ("10 %\r20 %\r\ndone\r\n", "10 %\n20 %\ndone\n"),
    ("bell\x07 back\x08\x08 vt\x0b", f"bell{SIGN} back{SIGN * 2} vt{SIGN}"),
    ("ff\x0c del\x7f nul\x00", f"ff{SIGN} del{SIGN} nul{SIGN}"),
    ("a\u202eb\u2066c\u2028d", f"a{SIGN}b{SIGN}c{SIGN}d"),
    ("open \x1b]0;never ends", f"open {SIGN}]0;never ends"),
    ("open \x1bP never ends", f"open {SIGN}P never ends"),
    ("open \x1b", f"open {SIGN}"),
    ("open \r", "open \n"),
    ("\x1b]0;" + "x" * 5000 + "\x07end", "end"),
    ("odd \x1b[\x01m", f"odd {SIGN}[{SIGN}m"),
    ("\x1b]0;a\x1b[31mb", f"{SIGN}]0;a\x1b[31mb\x1b[0m"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_colours_pass_and_nothing_else_that_steers(text: str, expected: str) -> None:
    assert shown(text.encode()) == expected


@pytest.mark.parametrize(("text", "expected"), [case for case in CASES if len(case[0]) < 100])
def test_it_is_the_same_wherever_the_pieces_are_cut(text: str, expected: str) -> None:
    data = text.encode()
    for cut in range(len(data) + 1):
        assert shown(data, cut) == expected, cut
    assert shown(data, *range(1, len(data))) == expected


def test_whatever_bytes_come_no_escape_but_a_colour_gets_through() -> None:
    chance = random.Random(7)
    pieces = [bytes([each]) for each in b"\x1b[]P\\mH;\x07\x9bx\r\xff"] + [b"31", b"\xc2\x9b"]
    for _ in range(500):
        data = b"".join(chance.choices(pieces, k=chance.randrange(40)))
        cuts = sorted(chance.sample(range(len(data) + 1), min(3, len(data) + 1)))
        text = shown(data, *cuts)
        for begin in (index for index, sign in enumerate(text) if sign == "\x1b"):
            end = text.find("m", begin)
            assert text[begin + 1] == "["
            assert set(text[begin + 2 : end]) <= set("0123456789;:"), text
        assert not {sign for sign in text if ord(sign) < 32} - set("\n\x1b")
        assert not {sign for sign in text if 0x7F <= ord(sign) < 0xA0}


class Screen(io.TextIOWrapper):
    """A stream that is, or is not, a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__(io.BytesIO())
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def bytes(self) -> bytes:
        return cast("io.BytesIO", self.buffer).getvalue()


@pytest.mark.parametrize(
    ("terminal", "raw", "expected"),
    [(True, False, b"title"), (True, True, b"\x1b]0;t\x07title"), (False, False, b"\x1b]0;t\x07title")],
)
def test_only_a_terminal_is_protected_and_raw_is_raw(*, terminal: bool, raw: bool, expected: bytes) -> None:
    screen = Screen(terminal=terminal)
    with sink_for(screen, raw=raw) as sink:
        sink.write(b"\x1b]0;t\x07title")
        sink.flush()
    assert screen.bytes == expected
