"""The queue by the hour as the first page draws it. Pure. Deliberately not here: drawing (``drawings``), reading."""

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from api.dashboard.drawings.areas import Course, areas
from api.dashboard.drawings.bars import BarColumn, BarPart, columns
from api.wording import counted
from workflows.contracts.records import HourStats


def ended_chart(hours: Sequence[HourStats]) -> Markup:
    """What succeeded and failed in each hour."""
    done, failed = sum(hour.completed for hour in hours), sum(hour.failed for hour in hours)
    bars = [
        BarColumn(
            clock(hour),
            f"{clock(hour)} UTC: {hour.completed} succeeded, {hour.failed} failed",
            (BarPart(hour.completed, "good"), BarPart(hour.failed, "bad")),
        )
        for hour in hours
    ]
    words = f"In {len(hours)} hours {counted(done, 'job')} succeeded and {failed} failed."
    return columns("ended", "Jobs that ended, by the hour", words, bars)


def open_chart(hours: Sequence[HourStats]) -> Markup:
    """How many jobs waited or ran at each hour's end."""
    amounts = [hour.open for hour in hours]
    most = max((amount for amount in amounts if amount is not None), default=0)
    words = f"At most {counted(most, 'job')} waited or ran at an hour's end; now {amounts[-1] if amounts else 0}."
    return areas("open", "Jobs that waited or ran", words, list(map(clock, hours)), [Course("open", "busy", amounts)])


def wait_chart(hours: Sequence[HourStats]) -> Markup:
    """How long the jobs that ended had waited for an agent."""
    high = [hour.p95_wait_seconds for hour in hours]
    median = [hour.p50_wait_seconds for hour in hours]
    longest = max((each for each in high if each is not None), default=None)
    words = "Nothing ended." if longest is None else f"95 % waited no longer than {longest:g} s in the slowest hour."
    courses = [Course("95 % within", "wait", high), Course("half within", "busy", median)]
    return areas("wait", "Wait for an agent, seconds", words, list(map(clock, hours)), courses, " s")


def clock(hour: HourStats) -> str:
    """``07:00``, in UTC."""
    return datetime.fromtimestamp(hour.at / 1000, UTC).strftime("%H:%M")
