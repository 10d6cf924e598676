"""How values are shown on pages."""

import pytest
from jinja2 import UndefinedError

from api.dashboard.render import render, short, size, span, time


def test_moments_are_exact_and_for_machines() -> None:
    assert time(1_700_000_000_123) == (
        '<time datetime="2023-11-14T22:13:20.123+00:00" title="2023-11-14 22:13:20 UTC">14 Nov 22:13</time>'
    )
    assert time(None) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (-3, "0.0 s"), (4.21, "4.2 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (273_600, "3 d 4 h")],
)
def test_spans(seconds: float | None, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(None, ""), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (228_000_000, "228.0 MB")]
)
def test_sizes(count: int | None, words: str) -> None:
    assert size(count) == words


def test_ids_are_short_and_may_be_missing() -> None:
    assert (short("0123456789"), short(None), short("abc", 2)) == ("01234567", "", "ab")


def test_a_name_that_is_not_there_is_an_error_and_no_empty_place() -> None:
    with pytest.raises(UndefinedError):
        render("problem.html", here={"path": "/"})
