"""At which line a field stands."""

import pytest

from workflows.yaml_places import places_of
from workflows.yaml_text import yaml_to_json

TEXT = b"""name: checkout
git_repo: https://example.com/shop.git
labels:
  team.name: pay
environments:
  - name: staging
    steps: &deploy
      - {name: deploy, run: make}
  - name: production
    steps: *deploy
    approval:
      required: no
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("name", 1),
        ("labels", 3),
        ("labels.team.name", 4),
        ("environments", 5),
        ("environments.0", 6),
        ("environments.0.steps.0.run", 8),
        ("environments.1.approval.required", 12),
        ("environments.1.approval.groups.0.name", 11),  # not there: what should hold it
        ("environments.1.steps.0.run", 10),  # through an alias
        ("environments.1.pool", 9),
        ("triggers", None),
        ("", None),
    ],
)
def test_a_field_has_its_line(path: str, line: int | None) -> None:
    yaml_to_json(TEXT)
    assert places_of(TEXT).line(path) == line


def test_json_has_lines_too_and_nothing_is_raised() -> None:
    assert places_of(b'{"a": [1,\n 2,\n {"b": 3}]}').line("a.2.b") == 3
    for odd in (b"", b"a: [", b"\xff", b"- [}"):
        assert places_of(odd).line("a.b") in (None, 1)


def test_keys_that_are_long_and_deep_cost_no_more_than_they_are() -> None:
    deep = b"".join(b" " * depth + b"k" * 1000 + b":\n" for depth in range(45)) + b" " * 46 + b"x: 1\n"
    assert places_of(deep).line(".".join(["k" * 1000] * 45 + ["x"])) == 46
