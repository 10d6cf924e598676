"""The command's first lines: an old Python, and folders that would be imported in place of its packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hybridci_command

ROOT = Path(hybridci_command.__file__).parent


def run(*path: Path, cwd: Path, module: str = "hybridci_command") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-m", module, "--version"]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("version", "said"), [((3, 10), "this is Python 3.10"), ((2, 7), "3.11 or newer")])
def test_an_old_python_is_told_in_a_sentence(version: tuple[int, int], said: str) -> None:
    told = hybridci_command.too_old(version)
    assert told is not None
    assert said in told
    assert told.count(". ") == 0
    assert hybridci_command.too_old((3, 11)) is None
    assert hybridci_command.too_old((4, 0)) is None


@pytest.mark.parametrize("name", hybridci_command.PACKAGES)
@pytest.mark.parametrize("kind", ["package", "folder", "module"])
def test_what_shadows_a_package_is_named(tmp_path: Path, name: str, kind: str) -> None:
    if kind == "module":
        (tmp_path / f"{name}.py").write_text("")
    else:
        (tmp_path / name).mkdir()
    if kind == "package":
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported')")
    done = run(tmp_path, ROOT, cwd=tmp_path)
    if kind == "folder" and done.returncode == 0:
        return  # a folder without __init__.py shadows nothing that comes later and has one
    assert done.returncode == 2, done.stderr
    assert f"Python finds {tmp_path / name}, which is not ours" in done.stderr
    assert "PYTHONPATH" in done.stderr
    assert "Traceback" not in done.stderr
    assert "imported" not in done.stderr


def test_a_checkout_on_the_path_is_ours_wherever_one_stands(tmp_path: Path) -> None:
    for cwd in (tmp_path, ROOT):
        done = run(ROOT, cwd=cwd)
        assert (done.returncode, done.stdout.split()[:1]) == (0, ["hybridci"]), done.stderr
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text("")
    done = run(ROOT, cwd=tmp_path, module="api.cli.main")
    assert done.returncode == 2, "the current folder goes before PYTHONPATH with -m"
    assert f"{tmp_path / 'agent'}" in done.stderr
