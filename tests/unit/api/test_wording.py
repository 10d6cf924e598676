"""Numbers and what they count: one of a thing is never called many. The source is searched for plurals made by hand."""

import re
from pathlib import Path

import pytest

import api
from api.wording import counted, plural

ROOT = Path(api.__file__).parent
BY_HAND = re.compile(r"""\{\{? ?(?:"s"|'s'|""|'') if [^}]*\bs?\b[^}]*else ?(?:"s"|'s'|""|'') ?\}""")


@pytest.mark.parametrize(
    ("number", "many", "said", "word"),
    [
        (0, "", "0 files", "files"),
        (1, "", "1 file", "file"),
        (1.0, "", "1 file", "file"),
        (1.5, "", "1.5 files", "files"),
        (12_345, "", "12,345 files", "files"),
        (2, "pieces", "2 pieces", "pieces"),
        (1, "pieces", "1 file", "file"),
    ],
)
def test_one_is_not_many(number: float, many: str, said: str, word: str) -> None:
    assert (counted(number, "file", many), plural(number, "file", many)) == (said, word)


def test_no_plural_is_made_by_hand() -> None:
    assert BY_HAND.search("""f"{n} job{'' if n == 1 else 's'}" """), "the pattern finds what it is for"
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in sorted([*ROOT.rglob("*.py"), *ROOT.rglob("*.html")])
        for match in BY_HAND.finditer(path.read_text("utf-8"))
    ]
    assert found == []
