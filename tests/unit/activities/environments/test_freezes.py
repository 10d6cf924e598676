"""Recurring freezes: on or off at any moment, across clock changes, and in bounded time for hostile expressions."""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from activities.environments.freezes import check_freeze, cron_problem, freeze_errors_in, opens_at, zone_problem
from workflows.contracts.deployments.environments import FreezeAnswer, FreezeQuestion
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.errors import ValidationFailed

HOUR = 3600
DAY = 24 * HOUR


def window(cron: str, seconds: int = HOUR, timezone: str = "UTC", name: str = "w") -> FreezeWindow:
    return FreezeWindow(name=name, cron=cron, duration_seconds=seconds, timezone=timezone)


def millis(text: str, timezone: str = "UTC", fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold).timestamp() * 1000)


def ask(at: int, *windows: FreezeWindow) -> FreezeAnswer:
    return check_freeze(FreezeQuestion(at=at, windows=list(windows)))


def is_on(at: int, *windows: FreezeWindow) -> bool:
    return ask(at, *windows).until is not None


class TestEdges:
    def test_no_window_no_freeze(self) -> None:
        assert ask(millis("2026-11-21T10:00")) == FreezeAnswer()

    def test_it_is_on_from_its_first_millisecond_to_its_last(self) -> None:
        friday = window("0 22 * * FRI", 8 * HOUR)
        begins, ends = millis("2026-11-20T22:00"), millis("2026-11-21T06:00")
        next_week = millis("2026-11-27T22:00")
        assert ask(begins - 1, friday) == FreezeAnswer(next_at=begins)
        assert ask(begins, friday) == FreezeAnswer(until=ends, name="w", next_at=next_week)
        assert ask(ends - 1, friday) == FreezeAnswer(until=ends, name="w", next_at=next_week)
        assert ask(ends, friday) == FreezeAnswer(next_at=next_week)

    def test_the_next_one_within_a_year_only(self) -> None:
        leap_day = window("0 0 29 2 *")
        assert ask(millis("2026-11-21T10:00"), leap_day) == FreezeAnswer()
        assert ask(millis("2027-11-21T10:00"), leap_day) == FreezeAnswer(next_at=millis("2028-02-29T00:00"))

    def test_of_several_the_one_that_ends_last_is_named_and_until_is_when_all_are_over(self) -> None:
        short = window("0 10 * * *", HOUR, name="short")
        long = window("30 9 * * *", 3 * HOUR, name="long")
        after = window("15 12 * * *", HOUR, name="after")
        found = ask(millis("2026-11-21T10:05"), short, long, after)
        assert (found.name, found.until) == ("long", millis("2026-11-21T13:15"))
        assert found.next_at == millis("2026-11-22T09:30")

    def test_a_window_longer_than_its_period_is_always_on(self) -> None:
        at = millis("2026-11-21T10:17")
        found = ask(at, window("0 0 * * *", 2 * DAY))
        assert found.until is not None
        assert found.until >= at + 364 * DAY * 1000
        assert found.next_at is None or found.next_at > found.until

    def test_a_window_that_ends_when_it_begins_again_is_always_on(self) -> None:
        for minute in range(0, 60, 7):
            at = millis(f"2026-11-21T10:{minute:02}")
            found = ask(at, window("*/15 * * * *", 15 * 60))
            assert found.until is not None
            assert found.until > at + 2 * DAY * 1000

    def test_a_window_of_many_periods_is_on_until_the_last_one_that_began_within(self) -> None:
        weekdays = window("0 20 * * MON-FRI", 26 * HOUR)
        found = ask(millis("2026-11-18T21:00"), weekdays)
        assert found.until == millis("2026-11-21T22:00")
        assert found.next_at == millis("2026-11-23T20:00")


class TestClockChanges:
    """Berlin: 2026-10-25 03:00 CEST → 02:00 CET, 2027-03-28 02:00 CET → 03:00 CEST."""

    def test_a_duration_is_that_of_the_clock_on_the_wall(self) -> None:
        night = window("0 22 * * *", 8 * HOUR, "Europe/Berlin")
        for evening, morning in (("2026-10-24T23:00", "2026-10-25T06:00"), ("2027-03-27T23:00", "2027-03-28T06:00")):
            assert ask(millis(evening, "Europe/Berlin"), night).until == millis(morning, "Europe/Berlin")

    def test_the_weekend_of_the_readme_ends_at_its_hour(self) -> None:
        weekend = window("0 17 * * 5", 228_600, "Europe/Berlin")
        for friday, monday in (
            ("2026-10-23", "2026-10-26"),
            ("2027-03-26", "2027-03-29"),
            ("2026-11-20", "2026-11-23"),
        ):
            ends = millis(f"{monday}T08:30", "Europe/Berlin")
            assert ask(millis(f"{friday}T17:00", "Europe/Berlin"), weekend).until == ends

    @pytest.mark.parametrize("day", ["2026-10-25", "2027-03-28", "2026-11-21"])
    def test_a_whole_day_has_no_hole(self, day: str) -> None:
        """Of 25, 23 and 24 hours."""
        whole = window("0 0 * * *", DAY, "Europe/Berlin")
        begin = millis(f"{day}T00:00", "Europe/Berlin")
        assert all(is_on(begin + minutes * 60_000, whole) for minutes in range(0, 26 * 60, 5))

    def test_an_end_that_the_clocks_jump_over_comes_as_much_later(self) -> None:
        short = window("45 1 * * *", 1800, "Europe/Berlin")
        begin = millis("2027-03-28T01:45", "Europe/Berlin")
        assert ask(begin, short).until == begin + 1800 * 1000

    def test_the_hour_on_the_wall_counts_in_summer_and_winter(self) -> None:
        noon = window("0 12 * * *", HOUR, "Europe/Berlin")
        assert is_on(millis("2026-07-01T10:30"), noon)
        assert not is_on(millis("2026-07-01T11:30"), noon)
        assert is_on(millis("2026-12-01T11:30"), noon)
        assert not is_on(millis("2026-12-01T10:30"), noon)

    def test_a_moment_that_is_jumped_over_comes_after_the_jump(self) -> None:
        jumped = window("30 2 * * *", HOUR, "Europe/Berlin")
        jump = millis("2027-03-28T01:00")
        assert not is_on(jump - 1, jumped)
        assert ask(jump, jumped).until == jump + HOUR * 1000

    def test_a_moment_that_comes_twice_counts_the_first_time(self) -> None:
        twice = window("30 2 * * *", 1800, "Europe/Berlin")
        first = millis("2026-10-25T02:30", "Europe/Berlin")
        second = millis("2026-10-25T02:30", "Europe/Berlin", fold=1)
        assert second - first == HOUR * 1000
        assert ask(first, twice).until == ask(second, twice).until == millis("2026-10-25T03:00", "Europe/Berlin")
        only = window("30 2 * * *", 600, "Europe/Berlin")
        assert is_on(first, only)
        assert not is_on(second, only)

    def test_a_long_window_is_still_on_in_the_repeated_hour_before_its_minute(self) -> None:
        twice = window("30 2 * * *", 2 * HOUR, "Europe/Berlin")
        between = millis("2026-10-25T02:15", "Europe/Berlin", fold=1)
        assert ask(between, twice).until == millis("2026-10-25T04:30", "Europe/Berlin")

    @pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo"])
    def test_around_every_clock_change_an_independent_count_agrees(self, zone: str) -> None:
        """Windows at a fixed hour, by the definition: each day's moment on the wall, the first of two, after a jump."""
        chance = random.Random(zone)
        for change in _changes(ZoneInfo(zone)):
            for _ in range(20):
                hour, minute = chance.choice((0, 1, 2, 3, 23)), chance.choice((0, 15, 30, 59))
                seconds = chance.choice((60, 1800, 2 * HOUR, 30 * HOUR))
                at = change + timedelta(minutes=chance.randint(-200, 200))
                begins = [_moment(at.date() + timedelta(days=days), hour, minute, zone) for days in (-2, -1, 0, 1)]
                expected = any(begin <= at < _later(begin, seconds, zone) for begin in begins)
                asked = window(f"{minute} {hour} * * *", seconds, zone)
                assert is_on(int(at.timestamp() * 1000), asked) is expected, (at, asked)


class TestHostile:
    @pytest.mark.parametrize("seconds", [60, HOUR, 90 * DAY])
    def test_every_minute(self, seconds: int) -> None:
        at, begun = millis("2026-11-21T10:00"), time.process_time()
        found = ask(at, window("* * * * *", seconds, "Europe/Berlin"))
        assert time.process_time() - begun < 2
        assert found.until is not None
        assert found.until >= at + 6 * HOUR * 1000

    def test_as_many_windows_as_an_environment_may_have(self) -> None:
        windows = [window("* * * * *", 60 + number, "Europe/Berlin") for number in range(50)]
        begun = time.process_time()
        assert is_on(millis("2026-10-25T02:30", "Europe/Berlin", fold=1), *windows)
        assert time.process_time() - begun < 8

    def test_a_day_that_seldom_comes(self) -> None:
        begun = time.process_time()
        assert not is_on(millis("2026-11-21T10:00"), *[window("0 0 * 2 MON#5", timezone="Europe/Berlin")] * 20)
        assert time.process_time() - begun < 2


class TestMeaningless:
    @pytest.mark.parametrize(
        "cron",
        [
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "0 0 31 2 *",
            "0 0 * * 8",
            "a b c d e",
            "*/0 * * * *",
            "5-1 * * * *",
            "@every 5 min x y",
            "0 0 30 2 *",
            "٣ * * * *",
        ],
    )
    def test_no_cron_expression(self, cron: str) -> None:
        assert cron_problem(cron) is not None

    @pytest.mark.parametrize(
        "cron", ["* * * * *", "0 22 * * FRI", "*/5 8-17 1,15 JAN-JUN 1-5", "0 0 L * *", "0 0 29 2 *"]
    )
    def test_a_cron_expression(self, cron: str) -> None:
        assert cron_problem(cron) is None

    @pytest.mark.parametrize("zone", ["Mars/Phobos", "../../etc/passwd", "/etc/localtime", "Europe", "", "UTC\0", "é"])
    def test_no_time_zone(self, zone: str) -> None:
        assert zone_problem(zone) is not None

    def test_a_question_with_a_bad_window_is_refused_by_its_path(self) -> None:
        bad = window("0 0 * * *").model_copy(update={"cron": "* * * * 9", "timezone": "Mars"})
        with pytest.raises(ValidationFailed) as caught:
            ask(0, window("0 0 * * *"), bad)
        assert [error.field for error in caught.value.errors] == ["windows.1.cron", "windows.1.timezone"]

    @pytest.mark.parametrize(
        "data",
        [None, [], 7, {}, {"environments": 7}, {"environments": [7, None, {"freeze_windows": [3, {"cron": 5}, {}]}]}],
    )
    def test_data_of_any_shape_is_looked_at(self, data: Any) -> None:
        assert freeze_errors_in(data) == []

    def test_a_path_into_plain_data(self) -> None:
        data = {"environments": [{}, {"freeze_windows": [{}, {"cron": "x", "timezone": "x"}]}]}
        assert [error.field for error in freeze_errors_in(data)] == [
            "environments.1.freeze_windows.1.cron",
            "environments.1.freeze_windows.1.timezone",
        ]


def _changes(zone: ZoneInfo) -> list[datetime]:
    """When the clocks change in 2026 and 2027, to the half hour."""

    def changed(begin: datetime, step: timedelta) -> bool:
        return begin.astimezone(zone).utcoffset() != (begin + step).astimezone(zone).utcoffset()

    day, half = timedelta(days=1), timedelta(minutes=30)
    days = [datetime(2026, 1, 1, tzinfo=UTC) + number * day for number in range(730)]
    halves = [begin + number * half for begin in days if changed(begin, day) for number in range(48)]
    return [begin + half for begin in halves if changed(begin, half)]


def _later(begin: datetime, seconds: int, zone: str) -> datetime:
    """So many seconds later on the wall: the first moment at which it shows that time, or one behind it."""
    shows = (begin.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + timedelta(seconds=seconds)).replace(fold=0)
    at = begin + timedelta(seconds=seconds) - timedelta(hours=2)
    while at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) != shows or at <= begin:
        at += timedelta(minutes=1)
        if at > begin + timedelta(seconds=seconds) + timedelta(hours=2):  # the clocks jump over it
            return begin + timedelta(seconds=seconds)
    return at


def _moment(day: Any, hour: int, minute: int, zone: str) -> datetime:
    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
    while wall.astimezone(UTC).astimezone(wall.tzinfo).replace(fold=0) != wall:
        wall += timedelta(minutes=1)  # the clocks jump over it
    return wall.astimezone(UTC)


OFFICE = {"name": "office", "cron": "0 9 * * 1-5", "duration_seconds": 8 * 3600, "timezone": "Europe/Berlin"}


def _is_open(at: datetime) -> bool:
    """Whether the office is open, counted from the clock on the wall alone."""
    wall = at.astimezone(ZoneInfo("Europe/Berlin"))
    return wall.weekday() < 5 and 9 <= wall.hour < 17


@pytest.mark.parametrize("around", [datetime(2026, 10, 25, tzinfo=UTC), datetime(2027, 3, 28, tzinfo=UTC)])
def test_allow_windows_open_by_the_clock_on_the_wall(around: datetime) -> None:
    """Over both changes of the clocks, every quarter of an hour for nine days."""
    window = FreezeWindow.model_validate(OFFICE)
    begin = around - timedelta(days=4)
    moments = [begin + timedelta(minutes=15 * number) for number in range(14 * 96)]
    for number, at in enumerate(moments[: 9 * 96]):
        following = next(later for later in moments[number:] if _is_open(later))
        opens = opens_at([window], int(at.timestamp() * 1000))
        assert opens == (None if _is_open(at) else int(following.timestamp() * 1000)), at


def test_outside_of_its_windows_nothing_begins_and_a_freeze_holds_within_them() -> None:
    office = FreezeWindow.model_validate(OFFICE)
    lunch = FreezeWindow(name="lunch", cron="0 12 * * *", duration_seconds=3600, timezone="Europe/Berlin")
    night, noon, morning = (int(datetime(2026, 11, 24, hour, 30, tzinfo=UTC).timestamp() * 1000) for hour in (3, 11, 8))

    def ask(at: int) -> FreezeAnswer:
        return check_freeze(FreezeQuestion(at=at, windows=[lunch], allow_windows=[office]))

    closed = ask(night)
    opens = int(datetime(2026, 11, 24, 8, tzinfo=UTC).timestamp() * 1000)
    assert (closed.closed, closed.name, closed.until) == (True, "office", opens)
    assert (ask(noon).closed, ask(noon).name) == (False, "lunch")
    assert ask(morning).until is None


def test_a_bad_allow_window_is_named() -> None:
    given = {"environments": [{"name": "production", "allow_windows": [{**OFFICE, "cron": "x"}]}]}
    assert [error.field for error in freeze_errors_in(given)] == ["environments.0.allow_windows.0.cron"]
