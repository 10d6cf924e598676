"""Masking a stream: every encoding, every cut, overlaps, long values, bytes that are no text."""

import base64
import json
import os
import random
import shlex
import string
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.secrets.redact import MASK, Patterns, Redactor, mask_text

SECRET = 's3cr/t+V@lue \'with "all" $of&it é'
TOKEN = "ghx_9fK2mQ7zLp40sTbV"
KEY = (
    "-----BEGIN KEY-----\n"
    + "\n".join(f"MIIEpAIBAAKCAQEA{number:048d}" for number in range(20))
    + "\n-----END KEY-----\n"
)


def masked(patterns: Patterns, data: bytes, *, cuts: list[int] | None = None) -> bytes:
    redactor = Redactor(patterns)
    edges = [0, *sorted(cuts or []), len(data)]
    pieces = [redactor.feed(data[begin:end]) for begin, end in pairwise(edges)]
    return b"".join(pieces) + redactor.flush()


def patterns_of(*values: str) -> Patterns:
    return Patterns([value.encode() for value in values])


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda value: value,
    "base64": base64.b64encode,
    "base64 of a line": lambda value: base64.b64encode(value + b"\n"),
    "base64 for URLs": base64.urlsafe_b64encode,
    "base32": base64.b32encode,
    "hex": lambda value: value.hex().encode(),
    "HEX": lambda value: value.hex().upper().encode(),
    "URL": lambda value: quote(value, safe="").encode(),
    "URL, path": lambda value: quote(value).encode(),
    "URL, lower case": lambda value: (
        quote(value, safe="").replace("%2B", "%2b").encode().lower()
        if value.islower()
        else quote(value, safe="").encode()
    ),
    "URL, plus": lambda value: quote_plus(value).encode(),
    "JSON": lambda value: json.dumps(value.decode())[1:-1].encode(),
    "JSON, UTF-8": lambda value: json.dumps(value.decode(), ensure_ascii=False)[1:-1].encode(),
    "shell": lambda value: shlex.quote(value.decode()).strip("'").encode(),
    "bash, traced": lambda value: (
        subprocess.run(
            ["bash", "-c", 'set -x; : "$1"', "b", value], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
        )
        .stderr.removeprefix(b"+ : ")
        .strip(b"'\n")
    ),
    "bash, %q": lambda value: (
        subprocess.run(
            ["bash", "-c", 'printf %q "$1"', "b", value], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
        ).stdout
    ),
    "python": lambda value: repr({"a": value.decode()})[7:-2].encode(),
}


@pytest.mark.parametrize("secret", [SECRET, TOKEN], ids=["special", "plain"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_encoding_is_masked_wherever_the_stream_is_cut(encoding: str, secret: str) -> None:
    patterns = patterns_of(secret)
    form = ENCODINGS[encoding](secret.encode())
    data = b"before <" + form + b"> after"
    expected = b"before <" + MASK + b"> after"
    assert masked(patterns, data) == expected
    for cut in range(len(data)):
        assert masked(patterns, data, cuts=[cut]) == expected, cut
    assert masked(patterns, data, cuts=list(range(len(data)))) == expected


@pytest.mark.parametrize("secret", [SECRET, TOKEN], ids=["special", "plain"])
@pytest.mark.parametrize("before", [b"", b"u", b"u:", b"us:", b"use:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.b32encode])
def test_a_secret_inside_something_encoded_leaves_less_than_two_bytes(
    encode: Callable[[bytes], bytes], before: bytes, secret: str
) -> None:
    around = encode(before + b"\0" * len(secret.encode()) + b"@host")
    data = encode(before + secret.encode() + b"@host")
    first, last = masked(patterns_of(secret), data).split(MASK)
    assert around.startswith(first[:-1])
    assert around.endswith(last[1:])


@pytest.mark.parametrize("width", [20, 64, 76, 77])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:" * 20])
def test_wrapped_base64_is_masked_at_any_width(width: int, line_end: bytes, before: bytes) -> None:
    secret = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=90))
    encoded = base64.b64encode(before + secret.encode() + b"tail")
    lines = [encoded[start : start + width] for start in range(0, len(encoded), width)]
    data = b"--- output\n" + line_end.join(lines) + line_end + b"done\n"
    out = masked(patterns_of(secret), data)
    assert out.count(MASK) == 1
    assert out == masked(patterns_of(secret), data, cuts=list(range(len(data))))
    clear = out.replace(b"\r", b"").replace(b"\n", b"")
    inner = base64.b64encode(secret.encode()).decode()
    assert not any(inner[start : start + 8].encode() in clear for start in range(len(inner) - 8))
    assert len(clear) < len(data) - 100


def test_a_value_of_many_lines_is_masked_whole_and_line_by_line() -> None:
    patterns = patterns_of(KEY)
    assert masked(patterns, b"a\n" + KEY.encode() + b"b") == b"a\n" + MASK + b"\nb"
    assert masked(patterns, KEY.replace("\n", "\r\n").encode()) == MASK + b"\r\n"
    assert masked(patterns, json.dumps({"key": KEY}).encode()) == b'{"key": "' + MASK + b'\\n"}'
    line = KEY.splitlines()[3]
    assert masked(patterns, f"3: {line} .".encode()) == b"3: *** ."
    assert masked(patterns, base64.b64encode(line.encode())) == MASK
    assert masked(patterns, b"-----BEGIN KEY-----\nother") == b"-----BEGIN KEY-----\nother", "that line is no secret"


def test_a_value_of_ten_thousand_lines() -> None:
    value = "\n".join(f"{number:06d} " + random.Random(number).randbytes(12).hex() for number in range(10_000))
    began = time.monotonic()
    patterns = patterns_of(value)
    for form in (value.encode(), base64.b64encode(value.encode()), base64.encodebytes(value.encode())):
        data = b"start " + form + b" end"
        out = masked(patterns, data, cuts=list(range(0, len(data), 777)))
        assert out.strip(b"*\n") == b"start *** end".replace(b"***", out[6:-4]), out[:100]
        assert set(out[6:-4]) <= set(b"*\n=")
    assert masked(patterns, value.splitlines()[9_999].encode()) == MASK
    assert time.monotonic() - began < 10


def test_overlapping_secrets_are_one_mask_and_neighbours_are_two() -> None:
    first, second, inner = "abcdefghijklmnop", "mnopqrstuvwxyz", "defghijk"
    patterns = patterns_of(first, second, inner)
    data = b"<abcdefghijklmnopqrstuvwxyz>"
    assert masked(patterns, data) == b"<***>"
    assert masked(patterns, data, cuts=list(range(len(data)))) == b"<***>"
    assert masked(patterns, b"<abcdefghijklmnopabcdefghijklmnop>") == b"<******>"


def test_a_secret_that_goes_on_like_another() -> None:
    patterns = patterns_of("abcd1234", "abcd1234-and-more")
    for cut in range(30):
        assert masked(patterns, b"x abcd1234-and-less y", cuts=[cut]) == b"x ***-and-less y"
        assert masked(patterns, b"x abcd1234-and-more y", cuts=[cut]) == b"x *** y"


def test_a_secret_of_asterisks_and_letters_never_comes_out() -> None:
    patterns = patterns_of("***abc***")
    data = b"***abc*** ***abc******abc***"
    assert masked(patterns, data, cuts=list(range(len(data)))) == b"*** ******"


def test_the_end_of_a_stream_hides_a_long_beginning_and_lets_a_short_one_go() -> None:
    patterns = patterns_of(TOKEN)
    assert masked(patterns, f"token: {TOKEN[:-1]}".encode()) == b"token: ***"
    assert masked(patterns, b"the word gh") == b"the word gh"
    redactor = Redactor(patterns)
    assert redactor.feed(b"ghx_9fK2mQ") == b""
    assert redactor.flush() == MASK
    assert redactor.feed(b"7zLp40sTbV\n") == b"7zLp40sTbV\n", "another stream"


def test_a_live_log_holds_back_only_what_may_be_a_secret() -> None:
    redactor = Redactor(patterns_of(TOKEN, SECRET))
    for line in (b"building /usr/lib/target\n", b"waiting for\n", b"Password: ", b"\xff\0\n"):
        assert redactor.feed(line) == line
    assert redactor.feed(b"key gh") == b"key "
    assert redactor.feed(b"ost\n") == b"ghost\n"
    assert redactor.found == 0


secrets = st.lists(
    st.one_of(
        st.text(alphabet="ab", min_size=8, max_size=14), st.text(alphabet="abc\n", min_size=8, max_size=30),
        st.text(min_size=8, max_size=20, alphabet=st.characters(codec="utf-8")),
    ).filter(lambda value: len(value.encode().strip()) >= 8), min_size=1, max_size=3,  # shorter ones are not masked
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_cuts_never_matter_and_no_secret_is_left(data: st.DataObject) -> None:
    values = [value.encode() for value in data.draw(secrets)]
    patterns = Patterns(values)
    parts = st.one_of(
        st.sampled_from(values), st.sampled_from(values).map(base64.encodebytes), st.binary(max_size=5),
        st.sampled_from(values).map(lambda value: value[: len(value) // 2]), st.text(alphabet="abc\n").map(str.encode),
        st.sampled_from(values).map(lambda value: base64.b64encode(b"x" * 40 + value * 3)[:40] + b"\r\n"),
    )  # fmt: skip
    stream = b"".join(data.draw(st.lists(parts, max_size=8)))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    out = masked(patterns, stream)
    assert masked(patterns, stream, cuts=cuts) == out
    for value in values:
        assert all(value not in left for left in out.split(MASK))


def test_bytes_without_secrets_come_through_as_they_are() -> None:
    patterns = patterns_of(TOKEN, KEY, SECRET)
    data = os.urandom(300_000) + b"\r\n" * 100 + base64.encodebytes(os.urandom(30_000))
    assert masked(patterns, data, cuts=list(range(0, len(data), 4096))) == data
    assert masked(Patterns([]), data) == data
    assert Patterns([]).empty


def test_a_text_is_masked_and_stays_text() -> None:
    assert mask_text(patterns_of(TOKEN), f"git: https://x:{TOKEN}@host \udcff") == "git: https://x:***@host \ufffd"
    assert mask_text(None, "as it is") == "as it is"
