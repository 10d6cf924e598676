"""An agent that starts where another one died together with its guardian."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from agent.attempt.directory import AttemptDir
from agent.attempt.leftovers import StateDirInUse, end_leftovers, lock_state_dir, record_running
from agent.attempt.places import SlotPlace
from agent.steps.process import cookie_of
from tests.unit.processes import alive, pid_in, until

PATHS = {"PATH": "/usr/bin:/bin"}


def begun(folder: Path, cookie: str) -> AttemptDir:
    """The folder of an attempt as agents of earlier versions made it, which worked there too."""
    root = AttemptDir.of(folder, cookie).root
    directory = AttemptDir.create(folder, cookie, SlotPlace(1, root, root))
    for part in (directory.workspace, directory.home, directory.temp):
        part.mkdir()
    return directory


def job(script: str, directory: AttemptDir, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["bash", "-c", script], cwd=directory.workspace, env={**PATHS, **env}, start_new_session=True
    )


async def test_what_a_dead_agent_left_is_ended_and_its_spool_kept(tmp_path: Path) -> None:
    cookie = cookie_of(str(uuid.uuid4()), 2)
    directory = begun(tmp_path, cookie)
    (directory.spool / "log").write_text("unsent")
    (directory.workspace / "file").write_text("x")
    deaf = "trap '' TERM; setsid sleep 1000 & echo $! > escaped; touch ready; while :; do sleep 0.1; done"
    process = job(deaf, directory, HYBRIDCI_ATTEMPT=cookie)
    await until((directory.workspace / "ready").exists)
    escaped = pid_in(directory.workspace / "escaped")
    (leftover,) = await end_leftovers(tmp_path)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not alive(escaped)
    assert leftover.directory == AttemptDir(directory.root)
    assert {process.pid, escaped} <= set(leftover.ended)
    assert (directory.spool / "log").read_text() == "unsent"
    assert sorted(path.name for path in directory.root.iterdir()) == ["spool"]
    await leftover.directory.remove()
    assert await end_leftovers(tmp_path) == []


async def test_a_recorded_group_is_ended_and_a_number_given_away_is_not(tmp_path: Path) -> None:
    mine, given_away = begun(tmp_path, "mine-1"), begun(tmp_path, "other-1")
    process, innocent = job("sleep 1000", mine), job("sleep 1000", given_away)
    try:
        record_running(mine, process.pid)
        given_away.groups.write_text(f"{innocent.pid} 12345.0\n{innocent.pid}")
        leftovers = {leftover.directory.cookie: leftover.ended for leftover in await end_leftovers(tmp_path)}
        assert process.wait(timeout=60) == -signal.SIGTERM
        assert process.pid in leftovers["mine-1"]
        assert leftovers["other-1"] == []
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


async def test_nothing_to_end_and_strange_files(tmp_path: Path) -> None:
    assert await end_leftovers(tmp_path) == []
    (tmp_path / "attempts" / "not an attempt").mkdir(parents=True)
    (tmp_path / "attempts" / "file-1").write_text("")
    assert await end_leftovers(tmp_path) == []


async def test_read_only_folders_are_removed_and_links_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "keep").write_text("x")
    directory = begun(tmp_path, "job-1")
    module = directory.workspace / "module" / "inner"
    module.mkdir(parents=True)
    (module / "file").write_text("x")
    (module / "link").symlink_to(outside)
    module.chmod(0o500)
    module.parent.chmod(0o500)
    directory.scripts.rmdir()
    directory.scripts.symlink_to(outside)
    await directory.remove_workspace()
    assert not directory.workspace.exists()
    assert not directory.scripts.is_symlink()
    assert (outside / "keep").read_text() == "x"
    assert outside.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.getuid() != 0, reason="shown with another user, for root may write anywhere")
async def test_read_only_folders_are_removed_by_an_ordinary_user() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, which only root may enter
        directory = begun(Path(folder), "job-1")
        locked = directory.workspace / "locked" / "inner"
        locked.mkdir(parents=True)
        (locked / "file").write_text("x")
        locked.chmod(0)
        locked.parent.chmod(0o500)
        (directory.workspace / "bare").mkdir(mode=0o500)
        for path in (Path(folder), directory.root.parent, directory.root, *directory.root.rglob("*"), locked / "file"):
            os.chown(path, 12345, 12345)
        os.seteuid(12345)
        directory.root.chmod(0)
        try:
            await directory.remove_workspace()
        finally:
            os.seteuid(0)
        assert not directory.workspace.exists()


async def test_a_workspace_of_any_depth_is_removed(tmp_path: Path) -> None:
    """Deeper than Python's stack, a path and the open files allow: it must keep no agent from starting."""
    directory = begun(tmp_path, "job-1")
    script = "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d'); open('file', 'w').close()"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], cwd=directory.workspace, check=True)
    try:
        (leftover,) = await end_leftovers(tmp_path)
        assert not leftover.directory.workspace.exists()
    finally:  # pytest's own clean-up of old folders would fail on it, in every later run
        await asyncio.to_thread(subprocess.run, ["rm", "-rf", str(directory.root)], check=True)


async def test_one_agent_for_one_folder(tmp_path: Path) -> None:
    with lock_state_dir(tmp_path):
        with pytest.raises(StateDirInUse, match="HYBRIDCI_AGENT_DIR"):
            lock_state_dir(tmp_path)
        await asyncio.sleep(0)
    lock_state_dir(tmp_path).close()
