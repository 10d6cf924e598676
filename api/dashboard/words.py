"""What people write into forms, as the API takes it. What cannot be read is handed on as it is: the API says why not.

Deliberately not here: which fields there are (the routes).
"""

import re
from typing import Final

from api.moments import moment_of

_BETWEEN: Final = re.compile(r"[,\s]+")


def names(text: str) -> list[str]:
    """``a, b c`` → each of them."""
    return [each for each in _BETWEEN.split(text.strip()) if each]


def pairs(text: str) -> dict[str, str]:
    """``team=pay, tier=1`` → by name. One without ``=`` has an empty value."""
    found = (each.partition("=") for each in text.split(",") if each.strip())
    return {name.strip(): value.strip() for name, _, value in found}


def number(text: str) -> int | str | None:
    """None where nothing was written."""
    text = text.strip()
    return None if not text else int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else text


def millis(text: str) -> int | str | None:
    """A day and time of day in UTC, as a browser's field or a person writes it, in epoch milliseconds."""
    text = text.strip()
    if not text:
        return None
    try:
        return moment_of(text)
    except ValueError:
        return text


def times(seconds: int | str | None, unit: int) -> int | str | None:
    """So many of a unit in seconds."""
    return seconds * unit if isinstance(seconds, int) else seconds
