"""What the API says in sentences, as dense pages show it. Pure. Deliberately not here: saying it (``api.wording``)."""

import re
from collections.abc import Iterable
from typing import Final

_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")


def joined(texts: Iterable[str | None]) -> str:
    """What was said, with `; ` between, and no stop before it."""
    said = [text.strip() for text in texts if text and text.strip()]
    return "; ".join([*(text.rstrip(".") for text in said[:-1]), *said[-1:]])


def plainly(text: str | None) -> str:
    """Without the sentences that name a command in backticks: the page that the row leads to has a button for it."""
    said = _SENTENCE.split(text or "")
    return " ".join(each for each in said if "`" not in each) or text or ""
