"""Patterns of triggers against names of branches, tags, workflows and files, in time that follows their length.

Compiled by RE2: what a repository names its branches must not be able to hold up the API.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

_WILDCARDS: Final = {"**": "((?s).*)", "*": "([^/]*)", "?": "([^/])"}
_PIECE: Final = re.compile(r"\*\*|\*|\?|[^*?]+")
_KNOWN: Final = 2_000


def parts_of(pattern: str, text: str) -> list[str] | None:
    """All of the text and what each wildcard stands for, when the pattern fits it."""
    found: Any = _compiled(pattern).fullmatch(text.encode("utf-8", "replace"))
    if found is None:
        return None
    return [text, *(part.decode("utf-8", "replace") for part in found.groups())]


def fits(patterns: Sequence[str], text: str | None) -> bool:
    """Whether any of the patterns fits."""
    return text is not None and any(parts_of(pattern, text) is not None for pattern in patterns)


@lru_cache(maxsize=_KNOWN)
def _compiled(pattern: str) -> Any:
    library: Any = import_module("re2")
    pieces = [_WILDCARDS.get(piece) or library.escape(piece) for piece in _PIECE.findall(pattern)]
    return library.compile("".join(pieces).encode())
