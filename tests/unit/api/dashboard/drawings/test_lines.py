"""Lines as they are drawn: samples within and beyond a limit, escaped, bounded, of any numbers."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from api.dashboard.drawings.lines import HEIGHT, MOST_LINES, WIDTH, HeldTo, MeasuredLine, MeasuredPoint, lines

NOON = 1_764_504_000_000
HOSTILE = "<b onload=x>\"'&"


def drawn(*shown: MeasuredLine, limits: tuple[HeldTo, ...] = ()) -> ElementTree.Element:
    return ElementTree.fromstring(str(lines("m", "errors", "what it tells", shown, limits)))


def route(root: ElementTree.Element, number: int = 0) -> list[tuple[float, float]]:
    found = [each.get("points") or "" for each in root.iter("polyline")][number]
    return [(float(x), float(y)) for x, y in (each.split(",") for each in found.split())]


def kinds(root: ElementTree.Element, begins: str) -> list[str]:
    return [each.get("class") or "" for each in root.iter() if (each.get("class") or "").startswith(begins)]


def test_later_is_right_and_more_is_up() -> None:
    root = drawn(
        MeasuredLine("a", [MeasuredPoint(NOON, 1), MeasuredPoint(NOON + 1000, 3), MeasuredPoint(NOON + 2000, 2)])
    )
    (x1, y1), (x2, y2), (x3, y3) = route(root)
    assert x1 < x2 < x3
    assert y2 < y3 < y1
    assert [each.text for each in root.iter("text") if "tick from" in (each.get("class") or "")] == ["12:00:00"]


def test_a_limit_is_a_line_and_what_is_beyond_has_another_form() -> None:
    points = [MeasuredPoint(NOON, 0.01), MeasuredPoint(NOON + 1, 0.3, beyond=True)]
    root = drawn(MeasuredLine("prometheus", points), limits=(HeldTo("at most 0.1", 0.1),))
    (limit,) = [each for each in root.iter("line") if each.get("class") == "limit"]
    (_, below), (_, above) = route(root)
    assert above < float(limit.get("y1") or 0) < below
    assert kinds(root, "dot ") == ["dot dot-0", "dot dot-0 beyond"]
    assert len(list(root.iter("circle"))) == 1, "the other one is a triangle"
    assert "prometheus: 0.3 at 12:00:00, beyond the limit" in [each.text for each in root.iter("title")]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0],
        [5, 5, 5],
        [-3, 2],
        [-1e16 - 2, -1e16],
        [1e-300, 2e-300],
        [1e99, -1e99],
        [math.nan, math.inf, -math.inf, 1e308, 1],
        [0.1 * number for number in range(5000)],
    ],
)
def test_any_numbers_stay_within_the_picture(values: list[float]) -> None:
    root = drawn(MeasuredLine("a", [MeasuredPoint(NOON + number, value) for number, value in enumerate(values)]))
    for x, y in route(root):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert "nan" not in str(ElementTree.tostring(root))
    assert len(kinds(root, "axis")) < 15
    assert len(kinds(root, "dot ")) <= 1000


def test_words_of_strangers_are_text_and_lines_are_few() -> None:
    root = drawn(*[MeasuredLine(HOSTILE, [MeasuredPoint(NOON, 1)])] * 9, limits=(HeldTo(HOSTILE, 1),))
    assert len(list(root.iter("polyline"))) == MOST_LINES
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on") or name == "style"]
    assert not list(root.iter("b"))
