"""The queue by the hour, from the days' counters. Pure.

Deliberately not here: reading the counters (``readers``), keeping them (``activities.stores.hours``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from workflows.contracts.records import DayStats, HourStats, QueueHistory, QueueStats

HOUR_MS: Final = 3_600_000
_DAY_HOURS: Final = 24


def days_of(now: int, hours: int) -> list[str]:
    """The days (UTC) in which the last ``hours`` lie, the present one with them; oldest first."""
    first, last = (now - (hours - 1) * HOUR_MS) // (_DAY_HOURS * HOUR_MS), now // (_DAY_HOURS * HOUR_MS)
    return [
        datetime.fromtimestamp(day * _DAY_HOURS * HOUR_MS / 1000, UTC).date().isoformat()
        for day in range(first, last + 1)
    ]


def queue_history(stats: QueueStats, days: Sequence[DayStats], now: int, hours: int) -> QueueHistory:
    """The last ``hours``, oldest first, back to where the counters begin. ``days``: those of ``days_of``."""
    known = {hour.at: hour for day in days for hour in day.hours}
    since = _known_since(days)
    at, open_jobs, found = now // HOUR_MS * HOUR_MS, stats.depth + stats.running, list[HourStats]()
    for _ in range(hours):
        if since is None or at < since:
            break
        hour = known.get(at, HourStats(at=at))
        found.append(hour.model_copy(update={"open": max(0, open_jobs)}))
        open_jobs -= hour.opened
        at -= HOUR_MS
    return QueueHistory(items=found[::-1])


def _known_since(days: Sequence[DayStats]) -> int | None:
    """From when on hours were counted: a day of before, or one that began before, counts more than its hours do."""
    since: int | None = 0
    for day in days:
        if any(getattr(day, name) != sum(getattr(hour, name) for hour in day.hours) for name in _COUNTED):
            since = day.hours[0].at if day.hours else None
        elif since is None:
            since = _begin(day.day)
    return since


def _begin(day: str) -> int:
    return round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


_COUNTED: Final = ("created", "completed", "failed")
