"""Lines of a log as HTML: what a stranger wrote is shown, and does nothing."""

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.dashboard.log_html import MOST_CHARACTERS, MOST_SPANS, colour_rules, lines_of

_TAG = re.compile(r'<span(?: class="[a-z0-9 ]+")?(?: title="[A-Za-z ]+")?>|</span>')


def shown(body: str | bytes) -> str:
    """The one line's HTML."""
    data = body.encode() if isinstance(body, str) else body
    (line,) = lines_of(data, 1, timed=False)
    return str(line.html)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("plain", "plain"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\x1b[31mred\x1b[0m back", '<span class="f1">red</span> back'),
        ("\x1b[1;4;92mx", '<span class="f10 bold under">x</span>'),
        ("\x1b[38;5;208mx\x1b[39my", '<span class="f208">x</span>y'),
        ("\x1b[48;2;255;0;0mx\x1b[49my", '<span class="b196">x</span>y'),
        ("\x1b[7mx\x1b[27my", '<span class="inverse">x</span>y'),
        ("\x1b[mx", "x"),
        ("\x1b[38;5;999mx", '<span class="f255">x</span>'),
        ("\x1b[38mx\x1b[38;2mz", 'x<span class="f16">z</span>'),
        ("\x1b[2K\x1b[1Aup", "up"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("10%\r50%\r100%", '<span class="note" title="Redrawn with carriage returns">↻2 </span>100%'),
        ("windows\r", "windows"),
        ("tab\there", "tab\there"),
        ("a\u202eb", 'a<span class="odd">U+202E</span>b'),
        ("a\x07b\x00", 'a<span class="odd">U+0007</span>b<span class="odd">U+0000</span>'),
        ("\u200bx", '<span class="odd">U+200B</span>x'),
    ],
)
def test_a_line(line: str, wanted: str) -> None:
    assert shown(line) == wanted


def test_bytes_that_are_no_text_are_not_lost() -> None:
    assert shown(b"caf\xe9 \xff") == "caf\\xe9 \\xff"


def test_lines_are_counted_have_their_times_and_keep_their_colour() -> None:
    body = b"2026-11-30T03:00:00.123Z \x1b[31mone\n2026-11-30T03:00:00.456Z two\nno time"
    lines = lines_of(body, 7, timed=True)
    assert [(line.number, line.time) for line in lines] == [
        (7, "2026-11-30T03:00:00.123Z"), (8, "2026-11-30T03:00:00.456Z"), (9, None),
    ]  # fmt: skip
    assert [str(line.html) for line in lines] == [
        '<span class="f1">one</span>', '<span class="f1">two</span>', '<span class="f1">no time</span>',
    ]  # fmt: skip


def test_a_long_line_is_cut_and_says_so() -> None:
    said = shown("x" * (MOST_CHARACTERS + 5))
    assert said == "x" * MOST_CHARACTERS + '<span class="note"> … 5 characters more: see the raw log</span>'


@given(st.text(max_size=200))
@example("\x1b[" * 50 + "m")
@example("\x1b]\x1b\\\r\r")
def test_nothing_but_spans_comes_out(text: str) -> None:
    for line in lines_of(text.encode("utf-8", "surrogatepass"), 1, timed=False):
        rest = _TAG.sub("", str(line.html))
        assert "<" not in rest
        assert ">" not in rest
        assert html.escape(html.unescape(rest)).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") == rest
        assert not set(rest) & set("\x1b\u202e\u2066\x00\x08")


def test_the_style_sheet_knows_every_colour() -> None:
    rules = colour_rules()
    assert all(f".f{number}{{color:#" in rules and f".b{number}{{background:#" in rules for number in range(256))


@pytest.mark.parametrize("piece", ["\x01", "\x1b[31mx", "\u202e"])
def test_a_log_of_nothing_but_codes_costs_no_more_than_its_bytes(piece: str) -> None:
    line = piece * (20_000 // len(piece))
    lines = lines_of("\n".join([line] * 50).encode(), 1, timed=False)
    size = sum(len(str(each.html)) for each in lines)
    assert size < 50 * 20_000 + 60 * MOST_SPANS
    assert "\x1b" not in str(lines[-1].html)
    assert "\u202e" not in str(lines[-1].html)


def test_a_number_of_5000_digits_is_no_colour() -> None:
    assert shown("\x1b[" + "9" * 5000 + "mx") == "x"
    assert shown("\x1b[99999mx") == "x"


@pytest.mark.parametrize("hidden", ["\u061c", "\u2028", "\u3164", "\u00ad", "\U000e0041", "\u206a"])
def test_what_is_not_seen_is_shown_by_its_code(hidden: str) -> None:
    (line,) = lines_of(f"rm -rf {hidden}x\n".encode(), 1, timed=False)
    assert f'<span class="odd">U+{ord(hidden):04X}</span>x' in line.html


def test_a_sign_is_shown_as_a_tool_wrote_it() -> None:
    (line,) = lines_of("✔️ passed\n".encode(), 1, timed=False)
    assert line.html == "✔️ passed"
