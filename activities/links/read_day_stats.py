"""Link ReadDayStats: what ended on one day."""

from codeuchain import Context

from activities.chaining.links import ReadContext, require
from activities.days import check_day
from activities.stores.interfaces import JobStore


class ReadDayStats:
    """``day`` (``YYYY-MM-DD``, UTC) → ``day_stats``. Raises ValidationFailed for another form, Unavailable."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def call(self, ctx: Context[ReadContext]) -> Context[ReadContext]:
        """Reads counters."""
        return ctx.insert("day_stats", await self._store.day_stats(check_day(require(ctx, "day", str))))
