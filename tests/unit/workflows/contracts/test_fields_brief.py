"""How a command is called in a sentence."""

from workflows.contracts.fields import in_brief


def test_a_command_is_called_by_its_first_line() -> None:
    assert in_brief("pytest -q") == "pytest -q"
    assert in_brief("\n  set -e\nmake\n") == "set -e…"
    assert in_brief("x" * 60) == "x" * 60
    assert in_brief("x" * 61) == "x" * 59 + "…"
    assert in_brief("x" * 59 + " y") == "x" * 59 + "…"
    assert in_brief(" \n") == ""
