"""What is looked for in a log: a text, or an expression of RE2, whose time is in proportion to what it reads.

Python's own ``re`` can be made to run for years by a short expression. RE2 has no look-around and no references back.
The module is loaded when it is first used: most processes never search.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol, cast

from workflows.contracts.errors import FieldError, Unavailable, ValidationFailed

MAX_CHARACTERS: Final = 1000
_MAX_MEMORY: Final = 8 << 20
"""Of one expression, compiled. RE2 refuses one that needs more."""


class Needle(Protocol):
    """Finds the next match."""

    def __call__(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Begin and end of the first match at or behind ``start``; never across a newline."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for: exactly one of the two."""

    text: str | None = None
    regex: str | None = None
    ignore_case: bool = False


def needle_of(wanted: Wanted) -> Needle:
    """Raises ValidationFailed for what is none, and for an expression that RE2 does not take."""
    if (wanted.text is None) == (wanted.regex is None):
        raise _refused("text", "or regex is needed, and not both")
    field = "text" if wanted.text is not None else "regex"
    given = wanted.text if wanted.text is not None else wanted.regex
    if not given:
        raise _refused(field, "is empty")
    if "\n" in given:
        raise _refused(field, "holds a line feed, and lines are searched one by one")
    if wanted.text is not None and not wanted.ignore_case:
        return _plain(given.encode("utf-8", "replace"))
    return _compiled(given, field, literal=wanted.text is not None, ignore_case=wanted.ignore_case)


def _plain(text: bytes) -> Needle:
    def find(data: bytes, start: int) -> tuple[int, int] | None:
        place = data.find(text, start)
        return None if place < 0 else (place, place + len(text))

    return find


def _compiled(given: str, field: str, *, literal: bool, ignore_case: bool) -> Needle:
    re2 = _library()
    options = re2.Options()
    options.max_mem, options.log_errors, options.never_nl = _MAX_MEMORY, False, True
    options.case_sensitive, options.never_capture = not ignore_case, True
    source = re2.escape(given) if literal else f"(?m){given}"
    try:
        search = cast("Callable[..., Any]", re2.compile(source.encode("utf-8", "replace"), options).search)
    except re2.error as error:
        why = error.args[0] if error.args else error
        told = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise _refused(field, f"is no expression that RE2 takes: {told[:200]}") from None

    def find(data: bytes, start: int) -> tuple[int, int] | None:
        found = search(data, start)
        return None if found is None else found.span()

    return find


def _library() -> Any:
    try:
        return import_module("re2")
    except ImportError:
        raise Unavailable(
            "This API is installed without google-re2, so it searches for plain text only. Install it as its"
            " requirements say."
        ) from None


def _refused(field: str, problem: str) -> ValidationFailed:
    return ValidationFailed(f"{field} {problem}.", [FieldError(field=field, message=problem)])
