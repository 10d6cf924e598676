"""Dumps as programs make them, with a secret somewhere inside: nothing telling is left, wherever the stream is cut."""

import base64
import random
import subprocess
from collections.abc import Callable
from itertools import pairwise

import pytest

from agent.secrets.redact import MASK, Patterns, Redactor

TOKEN = "ghx_9fK2mQ7zLp40sTbV"
HEXLIKE = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
LONG = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz0123456789+/=&", k=70))
COMMANDS: dict[str, list[str]] = {
    "xxd": ["xxd"],
    "XXD": ["xxd", "-u"],
    "xxd by bytes": ["xxd", "-g", "1"],
    "xxd, narrow": ["xxd", "-c", "8"],
    "xxd for C": ["xxd", "-i"],
    "xxd, plain": ["xxd", "-p"],
    "hexdump": ["hexdump", "-C"],
    "od": ["od", "-An", "-tx1"],
    "od with addresses": ["od", "-t", "x1"],
    "od with hexadecimal addresses and text": ["od", "-A", "x", "-t", "x1z"],
    "od -x": ["od", "-x"],
    "hexdump of words": ["hexdump"],
}


def dump(command: list[str], data: bytes) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def masked(patterns: Patterns, data: bytes, cuts: list[int]) -> bytes:
    redactor = Redactor(patterns)
    edges = [0, *cuts, len(data)]
    return b"".join(redactor.feed(data[begin:end]) for begin, end in pairwise(edges)) + redactor.flush()


def digits(data: bytes) -> str:
    return "".join(character for character in data.decode().lower() if character in "0123456789abcdef")


def telling(secret: str, out: bytes) -> list[str]:
    """Six of its characters in clear, or six of its bytes in digits that stand together."""
    shown = out.replace(b"\n", b"")
    plain = [secret[at : at + 6] for at in range(len(secret) - 5)]
    joined = "".join(chunk for chunk in (digits(line) for line in out.splitlines()))
    return [each for each in plain if each.encode() in shown or each.encode().hex() in joined]


@pytest.mark.parametrize("secret", [TOKEN, HEXLIKE, LONG], ids=["token", "hexadecimal", "long"])
@pytest.mark.parametrize("way", COMMANDS)
def test_a_dump_shows_nothing_telling_of_a_secret(way: str, secret: str) -> None:
    patterns = Patterns([secret.encode()])
    for before in range(18):
        content = b"." * before + secret.encode() + b" and what follows it, to the end of a line or two."
        data = b"--- output\n" + dump(COMMANDS[way], content) + b"done\n"
        out = masked(patterns, data, [])
        assert MASK in out, before
        assert telling(secret, out) == [], (before, out.decode())
        assert out.startswith(b"--- output\n"), out
        assert out.endswith(b"done\n"), out


@pytest.mark.parametrize("way", COMMANDS)
def test_wherever_the_stream_is_cut_a_dump_shows_nothing_telling(way: str) -> None:
    patterns = Patterns([TOKEN.encode()])
    data = (
        b"--- output\n" + dump(COMMANDS[way], b"....." + TOKEN.encode() + b" and more of it, for a line.") + b"done\n"
    )
    whole = masked(patterns, data, [])
    for cut in range(len(data)):
        out = masked(patterns, data, [cut])
        assert telling(TOKEN, out) == [], (cut, out.decode())
        assert out == whole, cut
    assert masked(patterns, data, list(range(len(data)))) == whole


def test_what_ends_in_the_middle_of_a_dump_is_masked() -> None:
    patterns = Patterns([TOKEN.encode()])
    data = dump(["xxd"], b"." * 10 + TOKEN.encode())
    for end in range(len(data)):
        out = masked(patterns, data[:end], [])
        assert telling(TOKEN, out) in ([], [TOKEN[:6]])


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "colons": lambda value: value.hex(":").encode(),
    "COLONS": lambda value: value.hex(":").upper().encode(),
    "blanks": lambda value: value.hex(" ").encode(),
    "escapes": lambda value: "".join(f"\\x{byte:02x}" for byte in value).encode(),
    "a list": lambda value: ", ".join(f"0x{byte:02x}" for byte in value).encode(),
    "UTF-16": lambda value: value.decode().encode("utf-16-le"),
    "UTF-16, the other way": lambda value: value.decode().encode("utf-16-be"),
    "base64 of UTF-16": lambda value: base64.b64encode(b"x\0" + value.decode().encode("utf-16-le") + b"y\0"),
    "base64 twice": lambda value: base64.b64encode(base64.b64encode(value)),
    "base64 twice, inside": lambda value: base64.b64encode(b"u:" + base64.b64encode(b"me:" + value + b"@x") + b"!!"),
    "base64 twice, in lines": lambda value: base64.encodebytes(base64.encodebytes(value)),
}


@pytest.mark.parametrize("secret", [TOKEN, LONG], ids=["token", "long"])
@pytest.mark.parametrize("way", WAYS)
def test_other_ways_to_write_bytes(way: str, secret: str) -> None:
    patterns = Patterns([secret.encode()])
    form = WAYS[way](secret.encode())
    data = b"before <" + form + b"> after\nnext\n"
    out = masked(patterns, data, [])
    assert MASK in out
    assert len(out) < len(data) - len(secret), out
    assert out.startswith(b"before <"), out
    assert out.endswith(b"\nnext\n"), out
    assert masked(patterns, data, list(range(len(data)))) == out


def test_a_dump_without_a_secret_is_as_it_is() -> None:
    patterns = Patterns([TOKEN.encode(), HEXLIKE.encode()])
    for command in COMMANDS.values():
        data = dump(command, random.Random(1).randbytes(700) + TOKEN[:3].encode())
        assert masked(patterns, data, []) == data
        assert masked(patterns, data, list(range(0, len(data), 7))) == data


def test_output_that_is_no_dump_comes_at_once() -> None:
    redactor = Redactor(Patterns([TOKEN.encode()]))
    for said in (b"10 20 30 ", b"bed ", b"cafe 12:34:55 ", b"0", b"x"):
        assert redactor.feed(said) == said


def test_any_secret_in_any_dump_cut_anywhere() -> None:
    chance = random.Random(5)
    for _ in range(60):
        secret = "".join(chance.choices("abcdefABCDEF0123456789-_=+/.", k=chance.randint(8, 60)))
        before, after = (bytes(chance.choices(b"abcdef0123 .\x00\xff", k=chance.randint(0, 40))) for _ in range(2))
        patterns = Patterns([secret.encode()])
        data = dump(chance.choice(list(COMMANDS.values())), before + secret.encode() + after)
        whole = masked(patterns, data, [])
        for _ in range(4):
            cuts = sorted(chance.sample(range(1, len(data)), 6))
            assert masked(patterns, data, cuts) == whole, (secret, data, cuts)
        assert telling(secret, whole) == [], (secret, whole)
