"""What an agent says of the disk of its directory."""

from pathlib import Path

import pytest

from agent import monitored
from agent.monitored import disk_trouble


def test_a_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    assert "cannot be looked at any more" in (disk_trouble(tmp_path / "gone") or "")


def test_little_room_is_said_with_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitored, "LEAST_FREE_BYTES", 0)
    assert disk_trouble(tmp_path) is None
    monkeypatch.setattr(monitored, "LEAST_FREE_BYTES", 1 << 80)
    assert "MiB are left on the disk of its directory" in (disk_trouble(tmp_path) or "")
