"""Files of a repository that others wrote: what cannot be read is nothing.

Deliberately not here: what is in them (``guesses``, ``project_name``).
"""

import json
import tomllib
from pathlib import Path
from typing import Any, Final, cast

_MOST_BYTES: Final = 1 << 20


def text_of(file: Path) -> str:
    """Its beginning; empty where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def toml_of(file: Path) -> dict[str, Any]:
    """Empty where it is no TOML."""
    try:
        return tomllib.loads(text_of(file))
    except (ValueError, RecursionError):  # TOMLDecodeError is one, and so is a number of very many digits
        return {}


def json_of(file: Path) -> object:
    """An empty map where it is no JSON."""
    try:
        return json.loads(text_of(file) or "{}")
    except (ValueError, RecursionError):
        return {}


def map_of(value: object) -> dict[str, Any]:
    """The value, or an empty map where it is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
