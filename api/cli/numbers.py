"""Numbers as people type them: in the digits of ASCII, and not without end.

Python reads ``1_000``, ``٣`` and ``nan`` as numbers too, and refuses to read very many digits in words of its own.
"""

import math
import re
from typing import Final

import typer

_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,4})?")


def whole(text: str) -> int | None:
    """A number from 0 on, in at most 15 digits; None for anything else."""
    return int(text) if _WHOLE.fullmatch(text) else None


def number(text: str) -> float | None:
    """A finite number; None for anything else."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def finite(value: float | None) -> float | None:
    """The ``callback`` of an option that takes a number."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value
