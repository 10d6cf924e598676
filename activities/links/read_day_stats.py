"""Link ReadDayStats: what ended on one day."""

import re
from datetime import date
from typing import Final

from codeuchain import Context

from activities.links.base import ReadContext, require
from activities.stores.interfaces import JobStore
from workflows.contracts.errors import FieldError, ValidationFailed

_FORM: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class ReadDayStats:
    """``day`` (``YYYY-MM-DD``, UTC) → ``day_stats``. Raises ValidationFailed for another form, Unavailable."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def call(self, ctx: Context[ReadContext]) -> Context[ReadContext]:
        """Reads counters."""
        day = require(ctx, "day", str)
        if not _is_day(day):
            wrong = FieldError(field="day", message="must be a date of the form YYYY-MM-DD")
            raise ValidationFailed(f"{day!r} is no day. Write it as YYYY-MM-DD, in UTC.", [wrong])
        return ctx.insert("day_stats", await self._store.day_stats(day))


def _is_day(text: str) -> bool:
    if _FORM.fullmatch(text) is None:  # fromisoformat alone also takes 20261121 and 2026-W47-6
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
