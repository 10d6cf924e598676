"""What is wrong with a service's file, told the same by `service check` and `service apply`: each fault once, with its
line, in the order of lines.

Deliberately not here: finding the faults, which is the API's.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def located(file: Path, errors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each with its ``line`` in the file, those without one first: the API saw it as JSON, which has other lines.
    Nothing of what came by stdin has one, which cannot be read again.
    """
    from workflows.yaml_places import places_of

    try:
        places = None if str(file) == "-" else places_of(file.read_bytes())
    except OSError:
        places = None
    found = [{**error, "line": places and places.line(str(error["field"]))} for error in errors]
    return sorted(found, key=lambda error: error["line"] or 0)


def told(error: Mapping[str, Any]) -> str:
    """For people."""
    place = f"line {error['line']}: " if error["line"] else ""
    return f"{place}{error['field']}: {error['message']}"
