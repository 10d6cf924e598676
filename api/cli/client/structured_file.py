"""Read a map of fields from a file that a person wrote, in YAML or JSON.

What comes back is plain JSON, as the API takes it. Deliberately not here: what the fields mean, which is the API's.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final, cast

from api.cli.client.connection import USAGE, CliError

_MAX_FILE_BYTES: Final = 1 << 20
"""The API takes no more bytes."""


def read_map(path: Path, *, what: str, such_as: str) -> dict[str, Any]:
    """The fields in the file (``-`` is stdin) that ``--file`` names. Raises CliError with exit code 2.

    ``what`` it should describe and fields ``such_as`` it would have are told to the person whose file is another.
    """
    from workflows.yaml_text import yaml_file_to_json, yaml_to_json

    try:
        if str(path) == "-":
            document = yaml_to_json(sys.stdin.buffer.read(_MAX_FILE_BYTES + 1), max_bytes=_MAX_FILE_BYTES)
        else:
            document = yaml_file_to_json(path, max_bytes=_MAX_FILE_BYTES)
        content: Any = json.loads(document, parse_constant=_refuse)
    except OSError as error:
        raise CliError(f"--file {path} cannot be read: {error.strerror or error}.", USAGE) from None
    except ValueError as error:  # UnreadableYaml is one
        raise CliError(f"--file {path} is neither YAML nor JSON: {error}. Correct it.", USAGE) from None
    if not isinstance(content, dict):
        raise CliError(f"--file {path} holds no {what}: it must be a map of fields such as {such_as}.", USAGE)
    return cast(dict[str, Any], content)


def _refuse(constant: str) -> object:
    """Not-a-number and infinity, which JSON has not."""
    raise ValueError(f"{constant} has no place in JSON")
