"""Phases as they are drawn: well-formed, escaped, bounded, told to who cannot see them."""

import xml.etree.ElementTree as ElementTree

import pytest

from api.dashboard.drawings.phases import ICONS, MOST_BOXES, Box, Frame, phases

HOSTILE = "<script>alert(1)</script>\"'&"


def drawn(*frames: Frame, back: Box | None = None, words: str = "all of it") -> ElementTree.Element:
    return ElementTree.fromstring(str(phases("way", "The way", words, frames, back)))


def texts(root: ElementTree.Element, kind: str) -> list[str]:
    return [each.text or "" for each in root.iter("text") if each.get("class") == kind]


def test_each_phase_is_a_box_with_its_state_in_a_word_and_a_sign() -> None:
    root = drawn(
        Frame("before", [Box("build", "done", "done 2.0 s")]),
        Frame("production", [Box("approval", "wait", "1 of 2"), Box("roll out", "todo", "to come")]),
    )
    assert texts(root, "where") == ["before", "production"]
    assert texts(root, "name") == ["build", "approval", "roll out"]
    assert texts(root, "state") == ["✓ done 2.0 s", "… 1 of 2", "· to come"]
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "way-title way-words"
    assert [each.text for each in root.iter("desc")] == ["all of it"]


def test_the_way_back_stands_below() -> None:
    without, root = (
        drawn(Frame("production", [Box("live", "done", "live")])),
        drawn(Frame("production", [Box("live", "back", "rolled back")]), back=Box("back to 1.0", "now", "under way")),
    )
    assert texts(root, "name")[-1] == "back to 1.0"
    heights = [float((each.get("viewBox") or "").split()[3]) for each in (without, root)]
    assert heights[1] > heights[0]


@pytest.mark.parametrize("state", [*ICONS, HOSTILE])
def test_words_of_strangers_are_text(state: str) -> None:
    root = drawn(Frame(HOSTILE, [Box(HOSTILE, state, HOSTILE, href='/jobs/"><x')]), back=Box(HOSTILE, state, HOSTILE))
    assert {each.tag for each in root.iter()} <= {"svg", "title", "desc", "text", "rect", "g", "path", "a"}
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on") or name == "style"]
    whole = [each.text for each in root.iter("title")]
    assert f"{HOSTILE}: {HOSTILE}" in whole, "what is cut stands there in full"


def test_nothing_and_far_too_much_are_drawn() -> None:
    assert not texts(drawn(), "name")
    many = [Frame(f"e{number}", [Box("x" * 500, "now", "y" * 500)] * 30) for number in range(9)]
    root = drawn(*many)
    assert len(texts(root, "name")) == MOST_BOXES
    assert max(len(each) for each in texts(root, "name")) < 20


def test_a_short_way_is_not_blown_up() -> None:
    box = Box("roll out", "now", "10 %")
    assert 'class="phases small"' in phases("way", "the way", "words", [Frame("production", [box, box])])
    assert 'class="phases"' in phases("way", "the way", "words", [Frame("production", [box] * 6)])
