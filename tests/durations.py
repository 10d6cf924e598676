"""How long the test files took when they were measured last, and the order of a run that follows: the longest first, so
that no process waits for another one at the end.

``pytest --record-durations`` (``make durations``) measures the files that it runs, as a whole, and keeps what it knows
of the others. Its file is committed: it says on which machine and when. Deliberately not here: which process runs what
(``conftest``).
"""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).with_name("durations.json")
PROJECT = Path(__file__).parent.parent
TOGETHER = ("tests/faults", "tests/stores")
"""Their tests share a stack, or a server that takes long to start: one process runs all of them."""


def group_of(nodeid: str) -> str:
    """What one process runs in one go: a folder of TOGETHER, or a file."""
    path = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if path.startswith(f"{folder}/")), path)


def rank(nodeid: str, seconds: Mapping[str, float]) -> float:
    """The longest first; before them what was never measured, which may be long too."""
    return -seconds.get(group_of(nodeid), math.inf)


def measured() -> dict[str, float]:
    """Seconds by group."""
    content: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return content.get("seconds", {})


class Stopwatch:
    """A pytest plugin that writes FILE at the end of a run; in the process that the others report to."""

    def __init__(self) -> None:
        self._spent: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._spent[group_of(report.nodeid)] += report.duration  # pyright: ignore[reportArgumentType]

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            return
        known = measured() | {name: round(spent, 1) for name, spent in self._spent.items()}
        there = {name: spent for name, spent in known.items() if (PROJECT / name).exists()}
        content = {
            "measured": f"{datetime.now(UTC).date().isoformat()}, {os.cpu_count()} cores",
            "seconds": dict(sorted(there.items(), key=lambda item: (-item[1], item[0]))),
        }
        FILE.write_text(json.dumps(content, indent=1) + "\n")
