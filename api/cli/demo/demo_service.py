"""The demo's service as a git repository with four versions: a first one, one with a real bug, two without it.

``shop/`` has the first version. The bug: the author of 1.1 thought of loyal customers only, in the code as in its test,
so that it builds, passes its tests and is healthy, and fails for every new customer.
Deliberately not here: the machine that runs it (``machine``).
"""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

AUTHOR: Final = "ann@example.com"
FIRST: Final = "1.0"
BAD: Final = "1.1"
GOOD: Final = "1.2"
NEXT: Final = "1.3"
STAGING: Final = "staging"
PRODUCTION: Final = "production"

_FILES: Final = Path(__file__).parent / "shop"
_COMMITTED: Final = ("app.py", "pricing.py", "deploy/shopctl.py")
_PRICE: Final = "    return 20.0\n"
_TESTS: Final = """import unittest

from pricing import price


class Prices(unittest.TestCase):
    def test_a_shirt_has_a_price(self) -> None:
        self.assertAlmostEqual(price(3), 20.0, delta=2)
"""
_LOYAL_TEST: Final = """
    def test_a_loyal_customer_pays_less(self) -> None:
        self.assertEqual(price(4), 18.5)
"""
_ROUNDED_TEST: Final = _LOYAL_TEST.replace("18.5", "18.875")
_NEW_TEST: Final = """
    def test_a_new_customer_pays_the_full_price(self) -> None:
        self.assertEqual(price(0), 20.0)
"""


@dataclass(frozen=True, slots=True)
class _Change:
    """A version after the first: what becomes of the price, and the tests that its author added."""

    version: str
    message: str
    price: str
    tests: str


_CHANGES: Final = (
    _Change(BAD, "Give loyal customers a discount", "    return 18.0 + 2.0 / orders\n", _LOYAL_TEST),
    _Change(GOOD, "Remember new customers", "    return 18.0 + 2.0 / max(orders, 1)\n", _LOYAL_TEST + _NEW_TEST),
    _Change(NEXT, "Round up", "    return 18.5 + 1.5 / max(orders, 1)\n", _ROUNDED_TEST + _NEW_TEST),
)


@dataclass(frozen=True, slots=True)
class Shop:
    """The repository. ``commits`` has the id of each version."""

    folder: Path
    commits: Mapping[str, str]


def make_repository(folder: Path) -> Shop:
    """Commit the versions one after the other. Raises OSError, CalledProcessError."""
    folder.mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")
    sources = {name: (_FILES / name).read_text(encoding="utf-8") for name in _COMMITTED}
    first = {**sources, "VERSION": f"{FIRST}\n", "test_pricing.py": _TESTS}
    commits = {FIRST: _commit(folder, first, "Open the shop")}
    for change in _CHANGES:
        files = {
            "VERSION": f"{change.version}\n",
            "pricing.py": sources["pricing.py"].replace(_PRICE, change.price),
            "test_pricing.py": _TESTS + change.tests,
        }
        commits[change.version] = _commit(folder, files, change.message)
    return Shop(folder, commits)


def definition(shop: Shop, name: str, homes: Mapping[str, Path], ports: Mapping[str, list[int]]) -> str:
    """The service's YAML. ``homes``: the folder of each environment on the machine; ``ports``: its servers."""
    text = (_FILES / "service.yml").read_text(encoding="utf-8")
    words = {"NAME": name, "REPOSITORY": str(shop.folder), "PYTHON": sys.executable}
    for environment in (STAGING, PRODUCTION):
        words[f"{environment.upper()}_HOME"] = str(homes[environment])
        words[f"{environment.upper()}_PORTS"] = " ".join(map(str, ports[environment]))
    for name, value in words.items():
        text = text.replace(f"$({name})", value)
    return text


def _commit(folder: Path, files: Mapping[str, str], message: str) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", message)
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *words: str) -> str:
    # Neither the user's identity nor their hooks and signing keys: the author is the story's.
    own = ("user.name=Ann", f"user.email={AUTHOR}", "commit.gpgsign=false", "core.hooksPath=/dev/null")
    options = [word for setting in own for word in ("-c", setting)]
    done = subprocess.run(["git", "-C", str(folder), *options, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()
