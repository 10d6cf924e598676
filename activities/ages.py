"""Ages as settings write them: ``90d``, ``12h``, ``30m``, ``45s``."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

_AGE: Final = re.compile(r"([0-9]{1,9})\s*(s|m|min|h|d)", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_LONGEST_SECONDS: Final = 100 * 366 * 86_400


def age_seconds(text: object) -> object:
    """The seconds of an age such as ``90d`` or ``12h``. Raises ValueError: a bare number could mean anything."""
    if not isinstance(text, str):
        return text
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no age: write a number and its unit, such as 90d, 12h, 30m or 45s")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValueError(f"{text!r} is no age: it must be more than nothing and at most 100 years")
    return seconds


Age = Annotated[int, BeforeValidator(age_seconds)]
"""Seconds."""
