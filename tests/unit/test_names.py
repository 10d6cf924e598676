"""No move and no redesign may change a name that others know us by. How they are collected: ``tests.unit.names``."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.names import HOW_TO_ADD, activities, kept, present

ROOT = Path(__file__).parents[2]
NAMED = {"defn", "signal", "update", "query"}
KINDS = ("workflows", "signals", "updates", "queries", "activities", "failures", "events", "operations", "commands")


@pytest.fixture(scope="module")
def names() -> dict[str, list[str]]:
    return present()


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_is_missing_and_every_new_one_is_kept(names: dict[str, list[str]], kind: str) -> None:
    then, now = set(kept()[kind]), set(names[kind])
    assert then, kind
    missing = sorted(then - now)
    assert not missing, f"These {kind} are missing or renamed; whoever uses them would find nothing: {missing}"
    new = sorted(now - then)
    assert not new, f"These {kind} are new: {new}. {HOW_TO_ADD}"


def test_what_workflows_call_is_what_activities_are() -> None:
    assert activities("workflows") == activities("activities", "agent")


def _unnamed(path: Path) -> Iterator[str]:
    """Handlers and activities that take their name from a method, and failures without a type."""
    for node in ast.walk(ast.parse(path.read_text())):
        decorators = getattr(node, "decorator_list", [])
        bare = [each for each in decorators if not _has(each, "name")]
        yield from (f"{path.name}:{each.lineno}" for each in bare if _attribute(each) in NAMED)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ApplicationError" and not _has(node, "type"):
            yield f"{path.name}:{node.lineno}"


def _has(node: ast.expr, keyword: str) -> bool:
    return isinstance(node, ast.Call) and any(each.arg == keyword for each in node.keywords)


def _attribute(node: ast.expr) -> str | None:
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Attribute) and ast.unparse(function.value) in {"workflow", "activity"}:
        return function.attr
    return None


@pytest.mark.parametrize("package", ["workflows", "activities", "agent"])
def test_every_name_is_explicit(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 30
    assert [found for path in files for found in _unnamed(path)] == []


def test_a_name_that_is_not_explicit_is_found(tmp_path: Path) -> None:
    source = (
        "class W:\n    @workflow.signal\n    def told(self): raise ApplicationError('x')\n"
        "    @workflow.update(name='a')\n    def asked(self): ...\n    @a.validator\n    def checked(self): ...\n"
    )
    (tmp_path / "one.py").write_text(source)
    assert sorted(_unnamed(tmp_path / "one.py")) == ["one.py:2", "one.py:3"]
