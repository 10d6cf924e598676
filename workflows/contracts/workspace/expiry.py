"""How long a job's artifacts are kept after its end, as a job says it: ``7d``, ``12h``, or a number of seconds. Pure.

Deliberately not here: who removes them (``activities.retention``), and ages that operators set (``activities.ages``).
"""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

_DURATION: Final = re.compile(r"([0-9]{1,9})\s*(s|m|min|h|d|w)?", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
LONGEST_SECONDS: Final = 10 * 366 * 86_400


def _seconds(said: object) -> object:
    """Raises ValueError for a text that is no duration."""
    if not isinstance(said, str):
        return said
    found = _DURATION.fullmatch(said.strip().lower())
    if found is None:
        raise ValueError("must be a number and its unit, such as 7d, 12h, 30m or 2w; a number alone is seconds")
    return int(found[1]) * _SECONDS[found[2] or ""]


Expiry = Annotated[
    int,
    Field(ge=60, le=LONGEST_SECONDS, strict=True),
    BeforeValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": 16, "examples": ["7d"]},
                {"type": "integer", "minimum": 60, "maximum": LONGEST_SECONDS},
            ]
        }
    ),
]
"""Seconds: from a minute to ten years."""
