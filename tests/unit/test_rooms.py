"""The house stays one that can be walked through: no folder with more modules than an eye takes in.

Deliberately not here: who may import whom (``test_walls``), what the pages say of it (``test_docs``).
"""

import re
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


SAME_NAME_ON_PURPOSE = {
    "ReasonRequest": "the name of a schema in the OpenAPI document, of agents' and of deployments' routes",
}


def test_no_two_public_classes_have_one_name() -> None:
    """Whoever searches for one finds one. A module's private classes are its own matter."""
    places: dict[str, set[str]] = {}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for name in re.findall(r"(?m)^class ([A-Z]\w*)", file.read_text("utf-8")):
                places.setdefault(name, set()).add(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1 and name not in SAME_NAME_ON_PURPOSE} == {}
