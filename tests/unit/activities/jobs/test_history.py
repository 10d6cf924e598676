"""The queue by the hour: exact, in the right hour, and silent of what nobody counted."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from activities.jobs.history import HOUR_MS, days_of, queue_history
from activities.stores.statistics import Footprint, day_of, day_stats, deltas
from tests.stores.lives import NOON, Life, lives
from workflows.contracts.records import DayStats, HourStats, QueueStats
from workflows.contracts.statuses import JobStatus, QueueStatus

_OPEN = {QueueStatus.QUEUED, QueueStatus.CLAIMED, QueueStatus.RUNNING}


def _counted(made: list[Life]) -> dict[str, Counter[str]]:
    days: dict[str, Counter[str]] = {}
    for life in made:
        before = None
        for write in life.writes:
            for day, counters in deltas(before, write.job).days.items():
                days.setdefault(day, Counter()).update(counters)
            before = Footprint.of(write.job)
    return days


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12))
def test_the_hours_of_any_writes_are_a_count_of_the_records(seed: int, count: int) -> None:
    made = lives(seed, count, steps=12)
    found = [day_stats(day, counters) for day, counters in _counted(made).items()]
    hours = [hour for day in found for hour in day.hours]
    assert sum(hour.opened for hour in hours) == sum(life.job.queue_status in _OPEN for life in made)
    for name in ("created", "completed", "failed"):
        assert sum(getattr(hour, name) for hour in hours) == sum(getattr(day, name) for day in found)
    assert all(hour.at % HOUR_MS == 0 and day_of(hour.at) == day.day for day in found for hour in day.hours)


def test_an_hour_says_what_ended_in_it_and_what_was_open_at_its_end() -> None:
    early, late = Life(random.Random(1), NOON - HOUR_MS), Life(random.Random(2), NOON)
    early.announce()
    late.end(JobStatus.DEAD_LETTERED)
    late.redrive()
    days = [day_stats(day, counters) for day, counters in _counted([early, late]).items()]
    history = queue_history(QueueStats(depth=1, running=1), days, NOON + 1000, 3)
    assert [hour.at for hour in history.items] == [NOON - 2 * HOUR_MS, NOON - HOUR_MS, NOON]
    assert [hour.open for hour in history.items] == [0, 1, 2]
    before, now = history.items[1:]
    assert (before.created, before.failed, before.p50_wait_seconds) == (1, 0, None)
    assert (now.created, now.failed, now.completed) == (1, 1, 0)
    assert now.p50_wait_seconds is not None
    assert now.p50_wait_seconds == now.p95_wait_seconds


def test_hours_of_before_they_were_counted_are_not_there() -> None:
    """A version of before has counted the day and not its hours; this one came at eleven."""
    began = NOON - HOUR_MS
    day = DayStats(day="2025-11-21", created=9, hours=[HourStats(at=began, created=1, opened=1)])
    shown = queue_history(QueueStats(depth=1), [DayStats(day="2025-11-20", created=4), day], NOON, 24)
    assert [hour.at for hour in shown.items] == [began, NOON]
    nothing = DayStats(day="2025-11-21", created=9)
    assert queue_history(QueueStats(), [nothing], NOON, 24).items == []
    quiet = queue_history(QueueStats(), [DayStats(day="2025-11-20", created=4), DayStats(day="2025-11-21")], NOON, 24)
    assert quiet.items[0].at == NOON - 12 * HOUR_MS, "from midnight on nothing was missed"


def test_the_days_of_some_hours() -> None:
    assert days_of(NOON, 12) == ["2025-11-21"]
    assert days_of(NOON, 14) == ["2025-11-20", "2025-11-21"]
    assert len(days_of(NOON, 168)) == 8


def test_a_cancelled_job_is_open_no_more() -> None:
    life = Life(random.Random(3))
    life.stop(JobStatus.CANCELLED)
    (day,) = _counted([life]).values()
    assert day["h12o"] == 0
