"""The house stays one that can be walked through: no folder with more modules than an eye takes in.

Deliberately not here: who may import whom (``test_walls``), what the pages say of it (``test_docs``).
"""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("workflows", "activities", "api", "agent")
MOST_MODULES = 25


def test_a_folder_has_few_modules() -> None:
    modules = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    counts = Counter(str(file.parent.relative_to(ROOT)) for file in modules if file.name != "__init__.py")
    assert len(counts) > 50
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_every_folder_of_modules_is_a_package() -> None:
    """Without ``__init__`` the import walls do not see it. The demo's shop is a repository of its own."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    folders = {folder for file in files for folder in file.parents if ROOT in folder.parents}
    bare = {str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()}
    assert bare == {"api/cli/demo/shop", "api/cli/demo/shop/deploy"}
