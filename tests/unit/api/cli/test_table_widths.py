"""Every table of the command line at narrow widths with long values: what the next command takes is whole.

The definitions are read from the source, so that a table that is added is tried as well.
"""

import ast
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli import output
from api.cli.output import Column, fit_columns

CLI = Path(output.__file__).parent
NO_NEXT_COMMAND = {
    "Step", "KIND", "STEP", "hour", "DEMAND", "STAGE", "WHEN", "DECISION", "IN THE DATA DIRECTORY", "TABLE",
}  # fmt: skip
"""First columns of tables that name nothing which a command takes."""
LONG = {"keep": 63, "other": 80, "key": 36}
GAP = 2


def _tables() -> Iterator[tuple[str, list[Column]]]:
    for path in sorted(CLI.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Tuple | ast.List) and node.elts and all(map(_is_column, node.elts)):
                yield f"{path.relative_to(CLI)}:{node.lineno}", [_column(each) for each in node.elts]


def _is_column(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Column"


def _column(node: ast.expr) -> Column:
    assert isinstance(node, ast.Call)
    title = node.args[0].value if isinstance(node.args[0], ast.Constant) else "TABLE"
    given = {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
    return Column(str(title), **given)


def _natural(column: Column) -> int:
    if column.right:
        return max(len(column.title), 7)
    return LONG["key" if column.key else "keep" if column.keep else "other"]


TABLES = dict(_tables())


def test_the_tables_are_found() -> None:
    assert len(TABLES) > 20


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("table", TABLES)
def test_a_table_keeps_what_the_next_command_needs(table: str, width: int) -> None:
    columns = TABLES[table]
    natural = [_natural(column) for column in columns]
    shown = fit_columns(columns, natural, width)
    for index, column in enumerate(columns):
        if column.key:
            assert shown[index] == natural[index]
        if index in shown:
            assert shown[index] >= min(natural[index], column.least or 16, len(column.title) if column.least else 16)
            assert shown[index] >= min(natural[index], len(column.title))
    assert sum(shown.values()) + GAP * (len(shown) - 1) <= width
    assert columns[0].title in NO_NEXT_COMMAND or any(column.key for column in columns)
    assert len(shown) > 1


def test_the_less_important_go_first_and_programs_get_all() -> None:
    columns = [Column("ID", key=True), Column("STATE", keep=True), Column("BY", rank=1), Column("WHY", rank=2)]
    natural = [36, 8, 20, 50]
    assert fit_columns(columns, natural, None) == dict(enumerate(natural))
    assert list(fit_columns(columns, natural, 80)) == [0, 1, 2]
    assert list(fit_columns(columns, natural, 60)) == [0, 1]
    assert fit_columns(columns, natural, 20) == {0: 36}


def test_the_actions_of_a_trail_and_what_they_did_both_fit() -> None:
    (columns,) = [each for each in TABLES.values() if [column.title for column in each][:2] == ["WHEN", "ACTION"]]
    shown = fit_columns(columns, [23, 24, 30, 9, 16, 9, 15, 80, 60], 80)
    assert [columns[index].title for index in shown] == ["WHEN", "ACTION", "BY", "WHAT"]
    assert shown[3 + 4] >= 16


def _drawn(width: str, code: str) -> str:
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": width, "NO_COLOR": "1"}
    subprocess.run([sys.executable, "-c", f"from api.cli.output import *\n{code}"], stdout=theirs, env=env, check=True)
    text = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)
    return text


def test_a_key_that_does_not_fit_wraps_and_wide_letters_are_aligned() -> None:
    text = _drawn("20", "print_table([Column('ID', key=True), Column('X')], [('i' * 36, 'x' * 40)])")
    assert "i" * 36 in text
    rows = "[('支払い', 'a'), ('🚀x', 'b'), ('plain', 'c')]"
    lines = _drawn("80", f"print_table([Column('ID', key=True), Column('X')], {rows})").splitlines()
    from rich.cells import cell_len

    assert {cell_len(line.rstrip()[:-1]) for line in lines[1:]} == {8}, lines


def test_a_program_gets_values_of_any_length() -> None:
    code = "from api.cli.output import *\nprint_table([Column('ID', key=True), Column('X')], [('i', 'x' * 30_000)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"x" * 30_000 in done.stdout
