"""Files of keys are read again when they change; what cannot be used changes nothing and is said."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from api.system.checks import keys_check
from workflows.followed import Followed, keys_in, troubles


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _load(file: Path) -> list[str]:
    keys = keys_in(file.read_text())
    if any(len(key) < 4 for key in keys) or not keys:
        raise ValueError(f"{file.name} holds something that is no key.")
    return keys


def test_a_file_that_changed_is_read_again_within_a_second(tmp_path: Path) -> None:
    file, time = tmp_path / "key", Time()
    file.write_text("first\n")
    followed = Followed("THE_KEY_FILE", [file], lambda: _load(file), time)
    file.write_text("second\nfirst\n")
    assert followed.now() == ["first"], "nobody looks more than once a second"
    time.now = 1
    assert followed.now() == ["second", "first"]
    _replaced(file, "third\n")
    assert followed.look() == ["third"], "who misses a key looks at once"


def test_a_broken_file_keeps_the_old_keys_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, time = tmp_path / "key", Time()
    file.write_text("first\n")
    followed = Followed("THE_BROKEN_KEY_FILE", [file], lambda: _load(file), time)
    with caplog.at_level(logging.ERROR):
        for number, broken in enumerate(("x\n", "x\n", None), 1):
            if broken is None:
                file.unlink()
            else:
                file.write_text(broken)
            time.now = number * 2
            assert followed.now() == ["first"]
            followed.now()
    assert "key holds something that is no key." in caplog.records[0].__dict__["reason"]
    assert "THE_BROKEN_KEY_FILE" in troubles()
    assert "the keys of before hold" in troubles()["THE_BROKEN_KEY_FILE"]
    assert "THE_BROKEN_KEY_FILE: " in asyncio.run(_asked())
    file.write_text("second\n")
    time.now = 100
    assert followed.now() == ["second"]
    assert "THE_BROKEN_KEY_FILE" not in troubles()


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes replaces the files of a secret."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"key-{name}")
        os.utime(tmp_path / name, ns=(1, 1))
    file, time = tmp_path / "key", Time()
    file.symlink_to("one")
    followed = Followed("THE_LINK", [file], lambda: _load(file), time)
    file.unlink()
    file.symlink_to("two")
    time.now = 5
    assert followed.now() == ["key-two"]


def test_without_a_file_nothing_is_read_again() -> None:
    assert Followed("NONE", [], lambda: 1, Time()).now() == 1


async def _asked() -> str:
    """What `/health/system` tells of keys."""
    return await keys_check()() or ""


def _replaced(file: Path, text: str) -> None:
    """As editors and `mv` do it."""
    other = file.with_suffix(".new")
    other.write_text(text)
    other.replace(file)
