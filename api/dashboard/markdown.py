"""The Markdown of strangers (a job's summary) as HTML that can do nothing: CommonMark with tables, and no more.

HTML in it is text; links lead to http, https and mailto only, and tell nobody where they were followed from; images are
links with their words, for a page loads nothing from elsewhere; its headings stand below the page's own; characters
that mislead are shown by their codes (``outside``). What takes too long to read is shown as it was written.
Deliberately not here: reading Markdown itself (markdown-it-py).
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from api.dashboard.outside import MISLEADING, MOST_SHOWN, in_text

MOST_READ: Final = 32 * 1024
"""Characters; the worst that were found take a second."""
_REMEMBERED: Final = 32
_SCHEMES: Final = frozenset({"http", "https", "mailto"})
_KEPT: Final = frozenset({"href", "start"})
_TOP_LEVEL: Final = 3
_MOST_NESTED: Final = 20
_COSTLY: Final = re.compile(r"(?:[\[\]<>*_`(!][ \t]?){200}")
"""No text is written so; what reads it tries each of these with all the others."""


@lru_cache(_REMEMBERED)
def from_markdown(text: str) -> Markup:
    """For a page's text. Blocking: a long one takes a while."""
    if len(text) > MOST_READ or _COSTLY.search(text) is not None:
        return Markup("<pre>{}</pre>").format(in_text(text))
    reader = _reader()
    tokens = reader.parse(text)
    _tame(tokens)
    html = reader.renderer.render(tokens, reader.options, {})
    return Markup(_with_codes(html))  # noqa: S704 - the renderer has escaped all that is not its own


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": _MOST_NESTED}).enable(["table", "strikethrough"])
    reader.disable(["html_block", "html_inline"])
    reader.validateLink = _leads_outside  # type: ignore[method-assign]
    return reader


def _leads_outside(address: str) -> bool:
    try:
        return urlsplit(address.strip()).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def _tame(tokens: Sequence[Token]) -> None:
    """Nothing of what is written gets into an attribute but addresses and a list's first number."""
    for token in tokens:
        attributes: dict[str, Any] = {name: value for name, value in token.attrs.items() if name in _KEPT}
        token.info = ""
        if token.type == "image":
            token.type, token.tag, token.nesting = "text", "", 0
            token.content, token.children, attributes = f"[image: {token.content}]", None, {}
        elif token.type == "link_open":
            attributes["rel"] = "noopener noreferrer nofollow"
        elif token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1:]) + _TOP_LEVEL - 1)}"
        token.attrs = attributes
        _tame(token.children or ())


def _with_codes(html: str) -> str:
    left = MOST_SHOWN

    def code(found: re.Match[str]) -> str:
        nonlocal left
        left -= 1
        return str(escape(f"U+{ord(found[0]):04X}")) if left < 0 else f'<span class="odd">U+{ord(found[0]):04X}</span>'

    return MISLEADING.sub(code, html)
