"""A dict that forgets its oldest entries, and no cache beside it that bounds itself by hand."""

import re
from pathlib import Path

import pytest

from workflows.newest import Newest

ROOT = Path(__file__).parents[3]


def test_the_oldest_goes_and_setting_makes_an_entry_the_newest() -> None:
    kept = Newest[str, int](2)
    kept["a"], kept["b"] = 1, 2
    kept["a"] = 3
    kept["c"] = 4
    assert dict(kept) == {"a": 3, "c": 4}
    assert list(kept) == ["a", "c"]


def test_reading_changes_no_order() -> None:
    kept = Newest[str, int](2)
    kept["a"], kept["b"] = 1, 2
    assert (kept["a"], kept.get("a")) == (1, 1)
    kept["c"] = 3
    assert "a" not in kept


def test_nothing_passes_the_bound() -> None:
    kept = Newest[int, int](3)
    for number in range(1000):
        kept[number] = number
        assert len(kept) <= 3
    for sneak in (lambda: kept.update({9: 9}), lambda: kept.setdefault(9, 9)):
        with pytest.raises(TypeError, match="one by one"):
            sneak()
    with pytest.raises(ValueError, match="at least one"):
        Newest[int, int](0)


def test_no_other_module_forgets_its_oldest_by_hand() -> None:
    by_hand = re.compile(r"del (\S+)\[next\(iter\(\1\)\)\]|popitem\(last=False\)")
    found = {
        str(file.relative_to(ROOT))
        for package in ("workflows", "activities", "api", "agent")
        for file in (ROOT / package).rglob("*.py")
        if by_hand.search(file.read_text())
    }
    # A fence is durable; the roster forgets by age alone.
    assert found == {"workflows/newest.py", "agent/safety/fences.py", "api/agents/roster.py"}
