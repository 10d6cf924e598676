"""The forms in which a secret's value can turn up in output. Pure.

Deliberately not here: finding them in a stream (``redact``). What cannot be known stands in docs/secrets.md:
compression and encryption are no encodings, and whoever prints a secret so prints something that nobody can foresee.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from agent.secrets.dumps import digits_of, triggers_of
from workflows.contracts.secret_values import MIN_SECRET_CHARACTERS, weakness

MAX_FORM_BYTES: Final = 4096
"""A longer form is looked for piece by piece, so that little has to be held back of what might become one."""
_MIN_FORM_BYTES: Final = MIN_SECRET_CHARACTERS
_ENCODED_LINES: Final = 100
"""Of a value with more lines than this, a line alone is masked as it is, but not in each encoding."""
_UNUSUAL_BYTES: Final = 16 * 1024
"""Longer values are not looked for in each dialect of URLs and shells."""
_PEM_BORDER: Final = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
_SAFE_IN_URLS: Final = ("", "/", "!'()*", ";/?:@&=+$,#!'()*", "$&+,;=:!'()*")
"""What common libraries leave as it is: Python, JavaScript's two functions, Go's user names and paths."""
_WIDE: Final = ("utf-16-le", "utf-16-be")
_FOR_URLS: Final = bytes.maketrans(b"+/", b"-_")
_BASE64_LINE: Final = 76
_ANSI_C: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\E"}


@dataclass(frozen=True, slots=True)
class Forms:
    """``encoded`` are those that programs break into lines anywhere (base64, base32, hexadecimal); ``dumped`` are
    digits as dumps have them, and ``triggers`` what stands in a dump that has some of these.
    """

    plain: frozenset[bytes]
    encoded: frozenset[bytes]
    dumped: frozenset[bytes]
    triggers: frozenset[bytes]


def forms_of(values: Iterable[bytes]) -> Forms:
    """All forms of all values, the long ones in pieces."""
    plain, encoded = set[bytes](), set[bytes]()
    dumped, triggers = set[bytes](), set[bytes]()
    for value in values:
        wholes = _wholes(value)
        lines = _lines(value) - wholes
        usual = len(value) <= _UNUSUAL_BYTES
        for text in (*wholes, *(lines if usual and len(lines) <= _ENCODED_LINES else ())):
            for form in _plain(text, unusual=usual):
                plain.update(_pieces(form))
        for text in (*wholes, *lines) if usual and len(lines) <= _ENCODED_LINES else (value.rstrip(b"\r\n"),):
            for form in _encoded(text):
                encoded.update(_pieces(form))
            for digits in digits_of(text):
                dumped.update(_pieces(digits))
            triggers.update(triggers_of(text))
        plain |= lines
    return Forms(frozenset(plain), frozenset(encoded), frozenset(dumped), frozenset(triggers))


def _wholes(value: bytes) -> set[bytes]:
    """The value with other line ends, and without those at its end: they are no secret, and end the log's line."""
    wholes = set[bytes]()
    for whole in (value.rstrip(b"\r\n"), value.strip()):
        unix = whole.replace(b"\r\n", b"\n")
        wholes |= {whole, unix, unix.replace(b"\n", b"\r\n")}
    return wholes


def _lines(value: bytes) -> set[bytes]:
    """The lines that are telling alone: a closing bracket or the border of a key in PEM is not."""
    lines = {line.strip() for line in re.split(rb"[\r\n]+", value)}
    texts = {line: line.decode(errors="replace") for line in lines}
    return {line for line, text in texts.items() if not weakness(text) and not _PEM_BORDER.fullmatch(text)}


def _plain(value: bytes, *, unusual: bool) -> Iterator[bytes]:
    """As it is, and as text inside something else."""
    yield value
    try:
        text = value.decode()
    except UnicodeDecodeError:
        yield from _in_urls(value, unusual=unusual)
        return
    yield from _in_urls(text, unusual=unusual)
    yield from (text.encode(name) for name in _WIDE)
    yield from (form.encode() for form in (*_in_json(text, unusual=unusual), *_in_shells(text, unusual=unusual)))
    if unusual:
        yield from (html.escape(text, quote=quoted).encode() for quoted in (True, False))
        yield repr(text)[1:-1].encode()


def _in_json(text: str, *, unusual: bool) -> Iterator[str]:
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        if unusual:
            yield escaped.replace("/", "\\/")  # PHP
            yield escaped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")  # Go
            yield json.dumps(escaped, ensure_ascii=ascii_only)[1:-1]  # JSON in JSON


def _in_shells(text: str, *, unusual: bool) -> Iterator[str]:
    yield text.replace("'", "'\\''")
    yield text.replace("'", "'\"'\"'")
    yield "".join(_ANSI_C.get(character, character) for character in text)  # $'…'
    if unusual:
        yield re.sub(r'(["\\$`])', r"\\\1", text)  # "…"
        yield re.sub(r"([\s'\"\\|&;()<>!{}*\[\]?^$`,])", r"\\\1", text)  # printf %q


def _in_urls(value: str | bytes, *, unusual: bool) -> Iterator[bytes]:
    for safe in _SAFE_IN_URLS if unusual else _SAFE_IN_URLS[:1]:
        upper = quote(value, safe=safe)
        lower = re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), upper)
        for escaped in (upper, lower):
            yield escaped.encode()
            yield escaped.replace("%20", "+").encode()


def _encoded(value: bytes) -> Iterator[bytes]:
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for ended in (value, value + b"\n"):  # echo adds one
        yield base64.b64encode(ended)
        yield base64.urlsafe_b64encode(ended)
        yield base64.b32encode(ended)
    yield from _inside_base64(value)
    yield from _twice_base64(value)
    yield from _wide_base64(value)
    for before in range(5):
        inner = _inside(base64.b32encode(_between(before, value, 5)), before, len(value), 5)
        yield inner
        yield inner.lower()


def _inside_base64(value: bytes) -> Iterator[bytes]:
    """In the three ways in which it can stand in something longer."""
    for before in range(3):
        inner = _inside(base64.b64encode(_between(before, value, 3)), before, len(value), 6)
        yield inner
        yield inner.translate(_FOR_URLS)


def _twice_base64(value: bytes) -> Iterator[bytes]:
    """Base64 of base64, of the value alone or inside something longer, and of what ``base64`` prints in lines."""
    wrapped = base64.b64encode(value)
    lines = [wrapped[at : at + _BASE64_LINE] for at in range(0, len(wrapped), _BASE64_LINE)]
    for once in (*set(_inside_base64(value)), *([b"\n".join(lines)] if len(lines) > 1 else [])):
        yield from _inside_base64(once)


def _wide_base64(value: bytes) -> Iterator[bytes]:
    """Of UTF-16, as PowerShell takes commands."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    for name in _WIDE:
        yield from _inside_base64(text.encode(name))


def _between(before: int, value: bytes, block: int) -> bytes:
    """The value after ``before`` other bytes, filled up to whole blocks."""
    return b"\0" * before + value + b"\0" * (-(before + len(value)) % block)


def _inside(encoded: bytes, before: int, length: int, bits: int) -> bytes:
    """The characters that depend on the value alone, whatever is encoded before and after it."""
    return encoded[-(-8 * before // bits) : 8 * (before + length) // bits]


def _pieces(form: bytes) -> Iterator[bytes]:
    starts = range(0, max(len(form) - _MIN_FORM_BYTES, 1), MAX_FORM_BYTES)
    for start in starts[:-1]:
        yield form[start : start + MAX_FORM_BYTES]
    if len(form) - starts[-1] >= _MIN_FORM_BYTES:
        yield form[starts[-1] :]
