"""Values as pages show them: characters that mislead (bidi and zero-width controls, escape codes) by their codes.

Every ``{{ value }}`` of every template goes through here, so that no template can forget it. What becomes of it depends
on where it stands, which is known from the template's text around it:

- in the text of a page: ``<span class="odd">U+202E</span>``;
- where no element can stand (a title, an option, an attribute that is read out): ``U+202E``;
- in the attributes and the text area that a form or an address is made of: as it is, since it goes back. Browsers show
  a field by itself, so that it turns nothing round it.

What is HTML already (a macro, a drawing, a line of a log) stays. Deliberately not here: escaping (Jinja2's autoescape),
logs, which have colours besides (``log_html``).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from markupsafe import Markup, escape

MISLEADING: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
MOST_SHOWN: Final = 2000
"""So many characters of a value are shown by their codes; the others are a `?`."""
_OPEN_TAG: Final = re.compile(r"<[a-zA-Z][^<>]*$")
_ATTRIBUTE: Final = re.compile(r"([\w-]+)\s*=\s*(?:\"[^\"]*|'[^']*)$")
_PLAIN_ELEMENT: Final = re.compile(r"<(title|option)\b[^<>]*>[^<]*$")
_EXACT_ELEMENT: Final = re.compile(r"<textarea\b[^<>]*>[^<]*$")
_READ_OUT: Final = frozenset({"title", "alt", "aria-label", "placeholder"})
_OF_BLOCKS: Final = frozenset({"main", "head"})
"""Blocks that are a part of the page. The others stand in an element or an attribute of the page that has them."""
_KEPT: Final = 2000


def in_text(value: Any) -> Any:
    """For a page's text."""
    return _shown(value, Markup('<span class="odd">{}</span>'))


def in_plain(value: Any) -> Any:
    """For where no element can stand."""
    return _shown(value, Markup("{}"))


class ShowOutside(Extension):
    """Puts ``in_text`` or ``in_plain`` round what each ``{{ }}`` says."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        environment.filters.update(shown_in_text=in_text, shown_in_plain=in_plain)

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        """The template's tokens, with the filters among them."""
        return _with_filters(stream)


def _with_filters(stream: TokenStream) -> Iterator[Token]:
    before, blocks, chosen = "", list[str](), ""
    tag: list[str] = []
    for token in stream:
        if token.type == "data":
            before = (before + token.value)[-_KEPT:]
        if token.type == "variable_begin":
            chosen = _filter_of(before, blocks)
            yield token
            if chosen:
                yield Token(token.lineno, "lparen", "(")
            continue
        if token.type == "variable_end":
            if chosen:
                yield Token(token.lineno, "rparen", ")")
                yield Token(token.lineno, "pipe", "|")
                yield Token(token.lineno, "name", chosen)
            before += "x"
        if token.type == "block_begin":
            tag = []
        elif token.type == "block_end":
            _enter_or_leave(blocks, tag)
        elif token.type == "name":
            tag.append(token.value)
        yield token


def _enter_or_leave(blocks: list[str], tag: list[str]) -> None:
    if tag[:1] == ["block"]:
        blocks.append(tag[1])
    elif tag[:1] == ["endblock"] and blocks:
        blocks.pop()


def _filter_of(before: str, blocks: list[str]) -> str:
    if _OPEN_TAG.search(before):
        attribute = _ATTRIBUTE.search(before)
        return "shown_in_plain" if attribute is not None and attribute[1].lower() in _READ_OUT else ""
    if _EXACT_ELEMENT.search(before):
        return ""
    if _PLAIN_ELEMENT.search(before) or (blocks and blocks[-1] not in _OF_BLOCKS):
        return "shown_in_plain"
    return "shown_in_text"


def _shown(value: Any, code: Markup) -> Any:
    if not isinstance(value, str) or hasattr(value, "__html__") or MISLEADING.search(value) is None:
        return value
    parts, at, left = list[Markup](), 0, MOST_SHOWN
    for found in MISLEADING.finditer(value):
        parts.append(escape(value[at : found.start()]))
        parts.append(code.format(f"U+{ord(found[0]):04X}") if left > 0 else Markup("?"))
        at, left = found.end(), left - 1
    return Markup("").join([*parts, escape(value[at:])])
