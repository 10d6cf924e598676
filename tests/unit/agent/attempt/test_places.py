"""Where attempts work: short paths of the agent's own, the same for every job of a slot, gone after a kill."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.attempt.places import SlotPlaces
from agent.attempt.removal import remove_all
from agent.settings import SettingsError
from agent.steps.job_user import let_through


@pytest.fixture
def parent() -> Iterator[Path]:
    """As short as the system's own; tmp_path is not."""
    folder = Path(f"/tmp/p{os.getpid()}")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_short_whatever_the_agents_folder_is_called(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 120)
    state.mkdir()
    place = SlotPlaces.load(state).take()
    try:
        for folder in (place.home, place.temp):
            assert len(str(folder)) < 40
            assert str(folder) == str(folder.resolve()), "a link would be long again where a program looks what it is"
            assert folder.stat().st_mode & 0o777 == 0o700
        assert place.short.parent.stat().st_mode & 0o777 == 0o700
        assert place.workspace.is_relative_to(state.resolve()), "large files stay on the agent's disk"
    finally:
        shutil.rmtree(place.short.parent)


def test_the_same_paths_for_every_job_of_a_slot_and_empty_each_time(tmp_path: Path, parent: Path) -> None:
    places = SlotPlaces.load(tmp_path, parent)
    first, second = places.take(), places.take()
    assert (first.number, second.number) == (1, 2)
    (first.workspace / "file").write_text("x")
    first.home.chmod(0)
    first.short.chmod(0)
    aside = places.give_back(first)
    again = places.take()
    assert again == first
    assert [*again.workspace.iterdir(), *again.home.iterdir(), *again.temp.iterdir()] == []
    remove_all(aside)
    assert sorted(path.name for path in parent.glob("*/[0-9]*")) == ["1", "2"]


def test_what_a_killed_agent_left_is_removed_and_the_paths_stay(tmp_path: Path, parent: Path) -> None:
    killed = SlotPlaces.load(tmp_path, parent)
    first, second = killed.take(), killed.take()
    (first.temp / "socket").write_text("x")
    killed.give_back(second)
    places = SlotPlaces.load(tmp_path, parent)
    assert [path.name for path in parent.glob("*/*")] == [".lock"]
    assert list((tmp_path / "slots").iterdir()) == []
    assert places.take() == first


async def test_an_agent_that_ends_leaves_nothing(tmp_path: Path, parent: Path) -> None:
    places = SlotPlaces.load(tmp_path, parent)
    remove_all(places.give_back(places.take()))
    await places.close()
    assert os.listdir(parent) == []
    SlotPlaces.load(tmp_path, parent).take()
    idle = SlotPlaces.load(tmp_path, parent)
    await idle.close()
    assert os.listdir(parent) == [], "nor one that did nothing"


def test_a_folder_whose_agent_never_comes_back_goes_with_the_next_one(tmp_path: Path, parent: Path) -> None:
    forgotten = forget(folder(tmp_path, "a"), parent)
    alive = SlotPlaces.load(folder(tmp_path, "b"), parent)
    kept = alive.take().short.parent
    for short in (forgotten, kept):
        os.utime(short, (0, 0))
    SlotPlaces.load(folder(tmp_path, "c"), parent)
    assert (forgotten.exists(), kept.exists()) == (False, True)


def folder(above: Path, name: str) -> Path:
    (above / name).mkdir()
    return above / name


def forget(state: Path, parent: Path) -> Path:
    """An agent died, and its own folder was removed."""
    script = (
        "import sys; from pathlib import Path; from agent.attempt.places import SlotPlaces\n"
        "print(SlotPlaces.load(Path(sys.argv[1]), Path(sys.argv[2])).take().short.parent)"
    )
    arguments = [sys.executable, "-c", script, str(state), str(parent)]
    said = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(state)
    return Path(said.strip())


@pytest.mark.parametrize("taken", ["link", "open", "file"])
def test_a_folder_that_is_not_its_own_any_more_is_not_used(taken: str, tmp_path: Path, parent: Path) -> None:
    places = SlotPlaces.load(tmp_path, parent)
    before = places.take()
    remove_all(places.give_back(before))
    short = before.short.parent
    shutil.rmtree(short)
    elsewhere = parent / "elsewhere"
    elsewhere.mkdir()
    if taken == "link":
        short.symlink_to(elsewhere)
    elif taken == "open":
        short.mkdir()
        short.chmod(0o777)
    else:
        short.write_text("x")
    (elsewhere / "precious").write_text("x")
    for after in (places.take(), SlotPlaces.load(tmp_path, parent).take()):
        assert after.short.parent != short
    assert (elsewhere / "precious").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folder")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path, parent: Path) -> None:
    short = SlotPlaces.load(tmp_path, parent).take().short.parent
    os.chown(short, 12345, 12345)
    assert SlotPlaces.load(tmp_path, parent).take().short.parent != short
    assert (short / "1").exists(), "what is not its own it does not empty either"


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path, parent: Path) -> None:
    places = SlotPlaces.load(tmp_path, parent)
    before = places.take()
    places.give_back(before)
    shutil.rmtree(before.short.parent)
    assert places.take() == before


@pytest.mark.parametrize("record", [b"", b"/", b"/tmp", b"relative/hci-0123456789ab", b"/tmp/hci-0123456789ab/../x"])
def test_a_record_that_names_something_else_empties_nothing(record: bytes, tmp_path: Path, parent: Path) -> None:
    (tmp_path / "short-folder").write_bytes(record)
    assert SlotPlaces.load(tmp_path, parent).take().number == 1


def test_the_operators_folder(tmp_path: Path, parent: Path) -> None:
    first = SlotPlaces.load(tmp_path, parent).take().short.parent
    named = parent / "named"
    named.mkdir()
    assert SlotPlaces.load(tmp_path, named).take().short.parent.parent == named
    assert not first.exists(), "the one before is not left behind"
    for wrong in (Path("relative"), parent / "not-there"):
        with pytest.raises(SettingsError, match="HYBRIDCI_AGENT_TEMP_DIR names"):
            SlotPlaces.load(tmp_path, wrong)
    long = tmp_path / ("x" * 61)
    long.mkdir()
    with pytest.raises(SettingsError, match="too long for sockets"):
        SlotPlaces.load(tmp_path, long)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_kept_is_closed_to_whom_steps_run_as_also_after_a_kill(tmp_path: Path, parent: Path) -> None:
    """The folders inside belong to that user, who may therefore change their modes: it is those above that count."""
    killed = SlotPlaces.load(tmp_path, parent)
    lives, lost = killed.take(), killed.take()
    for place in (lives, lost):
        let_through(folder for part in (place.folder, place.short) for folder in (part.parent, part))
        place.workspace.chmod(0o777)
    killed.reserve(lost.number)
    assert (mode(lost.folder), mode(lost.short)) == (0o700, 0o700)
    assert (mode(lives.folder), mode(lives.short)) == (0o711, 0o711)
    assert killed.retake(lost.number) == lost
    let_through((lost.folder, lost.short))

    places = SlotPlaces.load(tmp_path, parent, keep={lost.number})
    assert (mode(lost.folder), mode(lost.short), mode(lost.workspace)) == (0o700, 0o700, 0o777)
    assert not lives.folder.exists()
    assert places.kept(lost.number) == lost
    lost.short.chmod(0o711)
    assert places.kept(lost.number) is None, "somebody may have been there"


def test_what_was_kept_elsewhere_is_not_left_there(tmp_path: Path, parent: Path) -> None:
    """The operator names another folder for HOME and TMPDIR, while something is kept in the one of before."""
    killed = SlotPlaces.load(tmp_path, parent)
    lost = killed.take()
    named = folder(parent, "named")
    places = SlotPlaces.load(tmp_path, named, keep={lost.number})
    assert places.kept(lost.number) is None
    assert not lost.short.parent.exists()
