"""Words for people, as every workflow shows them in the Temporal UI and in records. Pure."""

from datetime import UTC, datetime


def moment(millis: int) -> str:
    """A time for people, in UTC."""
    return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(text: str) -> str:
    """Foreign text on one line, which cannot end our Markdown code spans."""
    return " ".join(text.replace("`", "'").split())
