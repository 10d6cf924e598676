"""Times as people write them into a filter: how long ago, a day, or a day and a time in UTC. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

_AGO: Final = re.compile(r"(\d{1,6})\s*([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LAST: Final = 1 << 52


def moment_in(text: str, now: int) -> int | None:
    """Epoch milliseconds of ``2h``, ``2026-12-24``, ``2026-12-24T18:00``, or of such milliseconds themselves; None for
    anything else.
    """
    text = text.strip()
    if (ago := _AGO.fullmatch(text.lower())) is not None:
        return max(0, now - int(ago[1]) * _SECONDS[ago[2]] * 1000)
    if text.isascii() and text.isdigit() and len(text) in range(12, 16):
        return min(int(text), _LAST)
    try:
        found = datetime.fromisoformat(text)
        millis = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000
    except (ValueError, OverflowError):
        return None
    return int(millis) if millis >= 0 else None
