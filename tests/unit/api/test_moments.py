"""Times that others write are read as they meant them, in whatever zone the machine is."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from api.moments import moment_of


@pytest.fixture(autouse=True)
def in_another_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T15:40:12Z", 1795189212000),
        ("2026-11-20T15:40:12.853+01:00", 1795185612853),
        ("2026-11-20T15:40:12", 1795189212000),
        (" 2026-11-20 ", 1795132800000),
        ("1795189212", 1795189212000),
        ("1795189212.853", 1795189212853),
        ("0001-01-01", -62135596800000),
    ],
)
def test_a_time_is_what_its_writer_meant(text: str, expected: int) -> None:
    assert moment_of(text) == expected


def test_every_millisecond_number_of_a_century_is_a_number() -> None:
    """Most of these days' are ISO dates of the years 1700 to 2000 for Python, if their fifth to eighth digits are."""
    step = 7_654_321_987  # three months, and odd digits
    for number in range(1_700_000_000_000, 4_900_000_000_000, step):
        assert moment_of(str(number)) == number


@pytest.mark.parametrize(
    "text", ["", "soon", "12", "9" * 20, "2026-13-01", "2026-11-20T25:00", "9999-12-31T23:59-12:00"]
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"[Ii]nvalid|beyond|must be"):
        moment_of(text)


def test_a_time_without_a_zone_is_in_the_zone_that_is_asked_for() -> None:
    assert moment_of("2026-12-24T18:00", zone=None) == datetime(2026, 12, 24, 9, tzinfo=UTC).timestamp() * 1000
