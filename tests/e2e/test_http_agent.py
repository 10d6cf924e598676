"""The program of docs/http-agent.md is the script that ``tests.faults.test_claims`` runs."""

import re
from pathlib import Path

SCRIPT = Path(__file__).parent / "http_agent.py"
OUR_LINES = 4
"""What the script's file has above the program, for our own linters."""


def program() -> str:
    page = Path(__file__).parents[2] / "docs" / "http-agent.md"
    (text,) = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    return text


def test_the_pages_program_is_the_script_that_is_tested() -> None:
    lines = SCRIPT.read_text().splitlines(keepends=True)
    assert all(line.startswith("# ") for line in lines[:OUR_LINES])
    assert program() == "".join(lines[OUR_LINES:])
    assert len(program().splitlines()) <= 60
