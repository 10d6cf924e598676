"""The README's appendix is the script that ``tests.faults.test_claims`` runs."""

import re
from pathlib import Path

SCRIPT = Path(__file__).parent / "http_agent.py"
OUR_LINES = 4
"""What the script's file has above the appendix, for our own linters."""


def appendix() -> str:
    readme = Path(__file__).parents[2] / "README.md"
    (text,) = re.findall(r"^## Appendix.*?^```python\n(.*?)^```$", readme.read_text(), re.M | re.S)
    return text


def test_the_readmes_appendix_is_the_script_that_is_tested() -> None:
    lines = SCRIPT.read_text().splitlines(keepends=True)
    assert all(line.startswith("# ") for line in lines[:OUR_LINES])
    assert appendix() == "".join(lines[OUR_LINES:])
    assert len(appendix().splitlines()) <= 60
