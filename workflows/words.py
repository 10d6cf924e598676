"""Words for people, as every workflow shows them in the Temporal UI and in records. Pure."""

from datetime import UTC, datetime
from typing import Final

_LAST_MILLIS: Final = 253_402_300_799_000


def moment(millis: int) -> str:
    """A time for people, in UTC; one behind the year 9999, which somebody else wrote, is its end."""
    return datetime.fromtimestamp(min(max(millis, 0), _LAST_MILLIS) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(text: str) -> str:
    """Foreign text on one line, which cannot end our Markdown code spans."""
    return " ".join(text.replace("`", "'").split())
