"""Read a map of fields from a file that a person wrote, in YAML or JSON.

What comes back is plain JSON, as the API takes it. Deliberately not here: what the fields mean, which is the API's.
"""

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final, cast

from api.cli.connection import USAGE, CliError

_MAX_FILE_CHARACTERS: Final = 1 << 20
"""The API takes no more bytes."""


def read_map(path: Path, *, what: str, such_as: str) -> dict[str, Any]:
    """The fields in the file (``-`` is stdin) that ``--file`` names. Raises CliError with exit code 2.

    ``what`` it should describe and fields ``such_as`` it would have are told to the person whose file is another.
    """
    import yaml

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        content: Any = yaml.safe_load(text)
        content = json.loads(_json_text(content, what))
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"--file {path} cannot be read: {getattr(error, 'strerror', None) or error}.", USAGE) from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise CliError(
            f"--file {path} is neither YAML nor JSON: {' '.join(str(error).split())}. Correct it.", USAGE
        ) from None
    if not isinstance(content, dict):
        raise CliError(f"--file {path} holds no {what}: it must be a map of fields such as {such_as}.", USAGE)
    return cast(dict[str, Any], content)


def _json_text(content: object, what: str) -> str:
    """As JSON, piece by piece: aliases of aliases can stand for more than there is memory. Raises ValueError."""
    pieces, size = list[str](), 0
    for piece in json.JSONEncoder(default=_date_text(what), allow_nan=False).iterencode(content):
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_FILE_CHARACTERS:
            raise ValueError(f"it holds more than {_MAX_FILE_CHARACTERS} characters, its aliases written out")
    return "".join(pieces)


def _date_text(what: str) -> Callable[[object], str]:
    """YAML reads an unquoted 2026-11-21 as a date; JSON has none."""

    def text_of(value: object) -> str:
        if isinstance(value, date):
            return value.isoformat()
        raise TypeError(f"a {type(value).__name__} has no place in a {what}")

    return text_of
