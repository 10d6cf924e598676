"""Whose hooks an agent believes: nobody's but the operator's, whatever the steps' user tries."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.hooks.folder import AFTER_JOB, BEFORE_STEP, HookFolder, HookUnusable
from agent.settings import AgentSettings, SettingsError
from agent.steps.job_user import JobUser

STEPS = JobUser("steps", 65534, 65534, (65533,))


def hook(folder: Path, name: str = BEFORE_STEP, *, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True, mode=0o755)
    path = folder / name
    path.write_text("#!/bin/sh\ntrue\n")
    path.chmod(mode)
    return path


def load(folder: Path, user: JobUser | None = STEPS) -> HookFolder:
    found = HookFolder.load(AgentSettings(hooks=folder), user)
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    hook(tmp_path / "hooks")
    return tmp_path / "hooks"


def test_no_setting_no_hooks() -> None:
    assert HookFolder.load(AgentSettings(), None) is None


def test_what_is_there_is_found_and_what_is_not_is_none(folder: Path) -> None:
    hooks = load(folder)
    assert hooks.find(BEFORE_STEP) == folder / BEFORE_STEP
    assert hooks.find(AFTER_JOB) is None


def test_a_folder_that_others_can_write_is_refused_with_what_to_do(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match=r"hooks can be written by the user .*uid 65534.*chmod go-w"):
        load(folder)


def test_one_above_it_too_unless_it_is_sticky(folder: Path) -> None:
    folder.parent.chmod(0o777)
    with pytest.raises(SettingsError, match="can be written"):
        load(folder)
    folder.parent.chmod(0o1777)
    assert load(folder).find(BEFORE_STEP) is not None


def test_a_file_beside_the_hooks_counts_and_so_does_its_change_while_the_agent_runs(folder: Path) -> None:
    hooks = load(folder)
    (folder / "lib").mkdir()
    library = hook(folder / "lib", "common.sh")
    assert hooks.find(BEFORE_STEP) is not None
    library.chmod(0o757)
    with pytest.raises(HookUnusable, match=r"common\.sh can be written"):
        hooks.find(BEFORE_STEP)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("owned", ["", BEFORE_STEP])
def test_what_the_steps_user_owns_it_can_make_writable(owned: str, folder: Path) -> None:
    os.chown(folder / owned, STEPS.uid, STEPS.gid)
    with pytest.raises(SettingsError, match=r"belongs to the user .*chown -R root"):
        load(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(("group", "fine"), [(65533, False), (65534, False), (12345, True)])
def test_by_a_group_only_if_it_is_one_of_the_steps_user(group: int, fine: bool, folder: Path) -> None:
    os.chown(folder, 0, group)
    folder.chmod(0o775)
    if fine:
        assert load(folder).find(BEFORE_STEP) is not None
        return
    with pytest.raises(SettingsError, match="can be written"):
        load(folder)


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="no setfacl here")
def test_an_access_list_counts(folder: Path) -> None:
    subprocess.run(["setfacl", "-m", "u:65534:rwx", str(folder)], check=True)
    with pytest.raises(SettingsError, match="can be written"):
        load(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="steps of another user's agent do not run as root")
def test_steps_that_run_as_root_could_write_everything(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"steps run as root.*HYBRIDCI_AGENT_JOB_USER"):
        load(folder, None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root's steps are refused by another sentence")
def test_without_a_user_of_their_own_steps_are_the_owner(folder: Path) -> None:
    with pytest.raises(SettingsError, match="belongs to the user"):
        load(folder, None)


@pytest.mark.parametrize("named", ["hooks", "/nonexistent/hooks"])
def test_a_folder_that_is_not_there_or_not_whole_is_refused(named: str) -> None:
    with pytest.raises(SettingsError, match="by its whole path"):
        load(Path(named))


def test_what_cannot_be_run_is_refused_not_passed_over(folder: Path, tmp_path: Path) -> None:
    hooks = load(folder)
    hook(folder, AFTER_JOB, mode=0o644)
    with pytest.raises(HookUnusable, match=r"chmod \+x"):
        hooks.find(AFTER_JOB)
    (folder / AFTER_JOB).unlink()
    (folder / AFTER_JOB).symlink_to(folder / "gone")
    with pytest.raises(HookUnusable, match="a link to nothing"):
        hooks.find(AFTER_JOB)
    (folder / AFTER_JOB).unlink()
    (folder / AFTER_JOB).symlink_to(hook(tmp_path / "elsewhere"))
    with pytest.raises(HookUnusable, match="leads out of"):
        hooks.find(AFTER_JOB)


def test_links_inside_are_followed_as_mounted_configuration_has_them(folder: Path) -> None:
    kept = hook(folder / "..2026", AFTER_JOB)
    (folder / "..data").symlink_to("..2026")
    (folder / AFTER_JOB).symlink_to("..data/after-job")
    assert load(folder).find(AFTER_JOB) == kept
