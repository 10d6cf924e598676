"""Words for people, as every workflow shows them in the Temporal UI and in records. Pure.

The UI shows summaries and details as Markdown. What others wrote (a job's author, a step's name, an agent's message)
gets in there by ``quoted`` and ``titled`` only, so that it is read as text: no link, image, HTML or heading.
"""

from datetime import UTC, datetime
from typing import Final

from workflows.contracts.fields import without_misleading

_MAX_TITLE_BYTES: Final = 300
"""Temporal's API names 400 for a summary, sealed and in quotation marks; its server 1.32 does not insist."""
_MAX_DETAILS_BYTES: Final = 16_000
"""Temporal's API names 20,000."""
_TITLED: Final = str.maketrans("`[]<>\\~", "'()()/-")
_LAST_MILLIS: Final = 253_402_300_799_000


def moment(millis: int) -> str:
    """A time for people, in UTC; one behind the year 9999, which somebody else wrote, is its end."""
    return datetime.fromtimestamp(min(max(millis, 0), _LAST_MILLIS) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def quoted(text: str) -> str:
    """Foreign text in details: a code span on one line, in which no sign means anything. Nothing stays nothing."""
    line = _line(text).replace("`", "'")
    return f"`{line}`" if line else ""


def titled(text: str) -> str:
    """A summary, one line which is not always shown as Markdown: what would be some is written with other signs."""
    return _within(_line(text).translate(_TITLED), _MAX_TITLE_BYTES)


def details(text: str) -> str:
    """Details no longer than Temporal wants them."""
    return _within(text, _MAX_DETAILS_BYTES)


def _line(text: str) -> str:
    return " ".join(without_misleading(text, lines=True).split())


def _within(text: str, most: int) -> str:
    whole = text.encode("utf-8", "replace")
    return text if len(whole) <= most else f"{whole[: most - 3].decode('utf-8', 'ignore')}…"
