"""Finding commands by what people type, and the help page in groups."""

import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from api.cli.directory import PANELS_OF, WORDS
from api.cli.main import CLIENT_GROUPS, app
from tests.unit.names import present


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "80", "TERM": "dumb"})
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        ("jobs list", "hybridci job list"),
        ("job ls", "hybridci job list"),
        ("services show", "hybridci service show"),
        ("deployments start", "hybridci deploy start"),
        ("deploys list", "hybridci deploy list"),
        ("webhooks list", "hybridci webhook list"),
        ("hooks list", "hybridci webhook list"),
        ("keys list", "hybridci key list"),
        ("agent list", "hybridci agents list"),
        ("agents list", "hybridci agents list"),
        ("agent", "hybridci agent"),
        ("pools show", "hybridci pool show"),
        ("dead-letters list", "hybridci dlq list"),
        ("job artifact", "hybridci job artifacts"),
        ("deploy bans", "hybridci deploy bans"),
        ("deploy ban", "hybridci deploy ban"),
        ("logs", "hybridci job logs"),
        ("log", "hybridci job logs"),
    ],
)
def test_singular_plural_and_other_words(words: str, usage: str) -> None:
    code, shown = run(*words.split(), "--help")
    assert code == 0, shown
    assert shown.split("Usage: root ", 1)[-1].startswith(usage.removeprefix("hybridci ")), shown


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("jbo list", "Did you mean `root job`?"),
        ("stats", "Did you mean"),
        ("job lst", "Did you mean `root job list`?"),
        ("job stop", "Did you mean `root job cancel`?"),
        ("service get", "Did you mean `root service show` or `root service list`?"),
        ("key rm", "Did you mean `root key revoke`?"),
        ("job frobnicate", "There is no command 'frobnicate'. `root job --help` lists them."),
        ("job list --statsu failed", "--status"),
    ],
)
def test_what_there_is_not_is_answered_with_what_is_near(words: str, meant: str) -> None:
    code, shown = run(*words.split())
    assert code == 2
    assert meant in shown


def test_every_command_has_its_line_in_a_panel() -> None:
    commands = [words.split() for words in present()["commands"]]
    for group, panels in PANELS_OF.items():
        named = [name for lines in panels.values() for name in lines]
        there = {words[0] for words in commands} if not group else {w[1] for w in commands if w[0] == group}
        assert len(named) == len(set(named))
        assert there - set(named) == set(), f"api/cli/directory.py has no line for these commands of {group or 'all'}"


def test_other_words_mean_commands_that_exist() -> None:
    root: Any = typer.main.get_command(app)
    assert set(WORDS.values()) - set(root.list_commands(None)) == set()


@pytest.mark.parametrize("group", PANELS_OF)
def test_each_line_fits_80_columns(group: str) -> None:
    result = CliRunner().invoke(app, [*group.split(), "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    root: Any = typer.main.get_command(app)
    command = root.get_command(None, group) if group else root
    for name in command.list_commands(None):
        [line] = [line for line in result.output.splitlines() if line.startswith(f"│ {name} ")]
        assert line.rstrip(" │").endswith((".", "?")), line


def test_the_help_page_loads_no_command() -> None:
    script = (
        "import sys\nfrom api.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"loaded = set({sorted(CLIENT_GROUPS.values())!r}) & set(sys.modules)\nsys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
