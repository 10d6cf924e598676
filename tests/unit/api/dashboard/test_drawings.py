"""Drawings: what they show, within their bounds, with hostile words in them, and to who cannot see them."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from api.dashboard.drawings.areas import Course, areas
from api.dashboard.drawings.bars import HEIGHT, MOST_COLUMNS, WIDTH, BarColumn, BarPart, columns, nice_top, number, row

HOSTILE = "<script>alert(1)</script>\"'&"


def _read(drawn: Markup) -> ET.Element:
    assert "style" not in drawn
    assert "<script" not in drawn
    return ET.fromstring(str(drawn))


def _numbers(picture: ET.Element, *names: str) -> list[float]:
    return [float(each.attrib[name]) for each in picture.iter() for name in names if name in each.attrib]


def test_columns_stand_on_one_another_and_say_what_they_are() -> None:
    bars = [BarColumn("07:00", "7: 3 and 1", (BarPart(3, "good"), BarPart(1, "bad"))), BarColumn("08:00", "8: 0", ())]
    picture = _read(columns("ended", "Ended", "3 and 1", bars))
    assert picture.attrib["role"] == "img"
    named = {each.attrib["id"]: each.text for each in picture if "id" in each.attrib}
    assert [named[word] for word in picture.attrib["aria-labelledby"].split()] == ["Ended", "3 and 1"]
    good, bad = (
        next(each for each in picture if each.attrib.get("class") == name) for name in ("fill-good", "fill-bad")
    )
    assert float(bad.attrib["y"]) + float(bad.attrib["height"]) == pytest.approx(float(good.attrib["y"]), abs=0.02)
    assert [each[0].text for each in picture if each.attrib.get("class") == "hit"] == ["7: 3 and 1", "8: 0"]


def test_words_of_strangers_are_text_in_a_drawing() -> None:
    bars = [BarColumn(HOSTILE, HOSTILE, (BarPart(1, "good"),))]
    for drawn in (
        columns("a", HOSTILE, HOSTILE, bars),
        areas("b", HOSTILE, HOSTILE, [HOSTILE], [Course(HOSTILE, "busy", [1])]),
    ):
        assert HOSTILE in [each.text for each in _read(drawn).iter()]


@given(st.lists(st.floats(0, 1e12), max_size=MOST_COLUMNS * 2), st.floats(0, 1e9))
def test_nothing_stands_outside(amounts: list[float], more: float) -> None:
    bars = [BarColumn("x", "x", (BarPart(each, "good"), BarPart(more, "bad"))) for each in amounts]
    for drawn in (columns("a", "", "", bars), areas("b", "", "", ["x"] * len(amounts), [Course("x", "busy", amounts)])):
        picture = _read(drawn)
        assert all(-0.1 <= each <= WIDTH + 0.1 for each in _numbers(picture, "x", "x1", "x2"))
        assert all(-0.1 <= each <= HEIGHT + 0.1 for each in _numbers(picture, "y", "y1", "y2", "height"))
        assert len(str(drawn)) < 300_000


def test_what_was_not_measured_is_a_gap() -> None:
    picture = _read(areas("w", "Wait", "", ["a", "b", "c"], [Course("half", "busy", [1, None, 2])], " s"))
    assert len([each for each in picture.iter() if each.attrib.get("class") == "stroke-busy"]) == 2
    told = [each[0].text for each in picture if each.attrib.get("class") == "hit"]
    assert told == ["a: half 1 s", "b: half nothing", "c: half 2 s"]


def test_nothing_at_all_can_be_drawn() -> None:
    for drawn in (columns("a", "", "", []), areas("b", "", "", [], []), row([], 0), row([BarPart(3, "good")], 0)):
        assert "nan" not in drawn
        _read(drawn)


def test_a_row_is_never_wider_than_its_place() -> None:
    widths = re.findall(
        r'class="fill-(?:bad|busy)"[^>]* width="([\d.]+)"', row([BarPart(9, "bad"), BarPart(9, "busy")], 10)
    )
    assert [float(each) for each in widths] == [180, 20]


@pytest.mark.parametrize(("most", "top"), [(0, 1), (0.4, 1), (1, 1), (3, 5), (7, 10), (10, 10), (11, 20), (4100, 5000)])
def test_scales_end_at_round_numbers(most: float, top: float) -> None:
    assert nice_top(most) == top


def test_numbers_are_short() -> None:
    assert [number(each) for each in (0, 0.5, 12, 2500, 20_000, 1_500_000)] == [
        "0",
        "0.5",
        "12",
        "2500",
        "20k",
        "1500k",
    ]
