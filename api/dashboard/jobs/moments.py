"""Times as people write them into a filter: how long ago, a day, or a day and a time in UTC. Pure."""

import re
from typing import Final

from api.moments import moment_of

_AGO: Final = re.compile(r"(\d{1,6})\s*([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def moment_in(text: str, now: int) -> int | None:
    """Epoch milliseconds of ``2h``, ``2026-12-24``, ``2026-12-24T18:00``, or of such milliseconds themselves; None for
    anything else.
    """
    text = text.strip()
    if (ago := _AGO.fullmatch(text.lower())) is not None:
        return max(0, now - int(ago[1]) * _SECONDS[ago[2]] * 1000)
    try:
        millis = moment_of(text)
    except ValueError:
        return None
    return millis if millis >= 0 else None
