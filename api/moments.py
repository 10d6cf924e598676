"""Times as people and other programs write them: ISO dates and times, or epoch numbers. Pure.

Digits are looked at before ISO 8601 is: Python reads ``1796040540853`` as the date 1796-04-05, at 08:53.

Deliberately not here: spans such as ``2h``, and what to say when a time cannot be read.
"""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

_EPOCH: Final = re.compile(r"[0-9]{9,15}(\.[0-9]{1,9})?")
_MILLIS_FROM: Final = 100_000_000_000


def moment_of(text: str, zone: tzinfo | None = UTC) -> int:
    """Epoch milliseconds of ``2026-12-24``, ``2026-12-24T18:00+01:00``, ``1796040540`` or ``1796040540853``.

    A time that names no zone is in `zone`; None is this machine's. Raises ValueError for anything else.
    """
    text = text.strip()
    if _EPOCH.fullmatch(text):
        return millis_of(float(text))
    moment = datetime.fromisoformat(text)
    try:
        known = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        return round(known.astimezone(UTC).timestamp() * 1000)
    except (OverflowError, OSError) as error:  # of a zone's hours before the year 1 or after 9999
        raise ValueError(f"{text} is beyond what a clock shows") from error


def millis_of(number: float) -> int:
    """An epoch number in milliseconds: from 100,000,000,000 on it counts them (since 1973), below seconds (to 5138)."""
    return round(number if number >= _MILLIS_FROM else number * 1000)
