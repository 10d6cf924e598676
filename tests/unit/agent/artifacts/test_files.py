"""Which files are artifacts, and that no trick makes it one outside the workspace."""

import os
import time
from pathlib import Path

import pytest

from agent.artifacts.files import ArtifactError, FoundArtifact, find_artifacts, open_artifact


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    for name in ("dist/a.whl", "dist/b.tar.gz", "dist/deep/er/c.txt", "r.xml", ".hidden/x", "dist/.h", ".git/config"):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(name)
    (tmp_path / "secret").write_text("secret")
    return workspace


def find(workspace: Path, *patterns: str, max_bytes: int = 1000, max_files: int = 100) -> tuple[list[str], list[str]]:
    notes: list[str] = []
    found = find_artifacts(workspace, patterns, max_bytes=max_bytes, max_files=max_files, note=notes.append)
    assert [artifact.size for artifact in found] == [artifact.file.stat().st_size for artifact in found]
    return [artifact.path for artifact in found], notes


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("dist/*", ["dist/a.whl", "dist/b.tar.gz", "dist/deep/er/c.txt"]),
        ("dist/*.whl", ["dist/a.whl"]),
        ("**/*.txt", ["dist/deep/er/c.txt"]),
        ("**", ["dist/a.whl", "dist/b.tar.gz", "dist/deep/er/c.txt", "r.xml"]),
        ("dist/**", ["dist/a.whl", "dist/b.tar.gz", "dist/deep/er/c.txt"]),
        ("dist", ["dist/.h", "dist/a.whl", "dist/b.tar.gz", "dist/deep/er/c.txt"]),
        ("dist/", ["dist/.h", "dist/a.whl", "dist/b.tar.gz", "dist/deep/er/c.txt"]),
        (".hidden/*", [".hidden/x"]),
        ("dist/.*", ["dist/.h"]),
        ("[qr].xml", ["r.xml"]),
        ("./r.xml", ["r.xml"]),
        (".", [".hidden/x", "dist/.h", "dist/a.whl", "dist/b.tar.gz", "dist/deep/er/c.txt", "r.xml"]),
    ],
)
def test_patterns(pattern: str, paths: list[str], workspace: Path) -> None:
    assert find(workspace, pattern) == (paths, [])


@pytest.mark.parametrize("pattern", ["nothing/*", "../secret", "dist/../../secret", "r.xml/x", "**/nothing"])
def test_a_pattern_without_a_file_is_noted(pattern: str, workspace: Path) -> None:
    paths, notes = find(workspace, pattern)
    assert paths == []
    assert notes == [f"No file matches the artifact pattern {pattern!r}."]


def test_a_file_is_found_once(workspace: Path) -> None:
    assert find(workspace, "r.xml", "*.xml", "**/*.xml") == (["r.xml"], [])


@pytest.mark.parametrize(
    ("patterns", "paths"),
    [
        (["dist", "!dist/deep"], ["dist/.h", "dist/a.whl", "dist/b.tar.gz"]),
        (["!dist/deep/**", "dist/**"], ["dist/a.whl", "dist/b.tar.gz"]),
        (["**", "!**/*.txt", "!r.xml"], ["dist/a.whl", "dist/b.tar.gz"]),
        (["r.xml", "!nothing"], ["r.xml"]),
        (["r.xml", "!r.xml"], []),
    ],
)
def test_what_is_left_out(patterns: list[str], paths: list[str], workspace: Path) -> None:
    assert find(workspace, *patterns) == (paths, [])


def test_the_mode_is_found(workspace: Path) -> None:
    (workspace / "r.xml").chmod(0o700)
    assert only(workspace, "r.xml").executable
    assert not only(workspace, "dist/a.whl").executable


def test_links(workspace: Path) -> None:
    (workspace / "out").symlink_to("../secret")
    (workspace / "etc").symlink_to("/etc")
    (workspace / "in").symlink_to("dist/a.whl")
    (workspace / "folder").symlink_to("dist")
    (workspace / "gone").symlink_to("nowhere")
    (workspace / "loop").symlink_to("loop")
    (workspace / "round").symlink_to(".")
    paths, notes = find(workspace, "out", "etc/passwd", "in", "gone", "loop", "folder/*.whl")
    assert paths == ["folder/a.whl", "in"]
    assert len(notes) == 4, notes
    paths, notes = find(workspace, "**")
    assert "in" in paths
    assert "round/in" not in paths
    assert {note.split("'")[1] for note in notes} == {"out", "etc", "gone", "loop"}


def test_only_regular_files_with_plain_names(workspace: Path) -> None:
    os.mkfifo(workspace / "fifo")
    (workspace / "line\nbreak").write_text("x")
    Path(os.fsdecode(os.fsencode(workspace) + b"/\xff")).write_text("x")
    paths, notes = find(workspace, "fifo", "line*", "*")
    assert paths == ["dist/.h", "dist/a.whl", "dist/b.tar.gz", "dist/deep/er/c.txt", "r.xml"]
    assert len(notes) == 3, notes
    assert all(note.isprintable() for note in notes)


def test_limits(workspace: Path) -> None:
    with pytest.raises(ArtifactError, match="larger than 15 bytes"):
        find(workspace, "dist", max_bytes=15)
    with pytest.raises(ArtifactError, match="More than 2 files"):
        find(workspace, "dist", max_files=2)


def test_a_workspace_that_was_replaced_by_a_link(workspace: Path) -> None:
    workspace.rename(workspace.with_name("moved"))
    workspace.symlink_to("/etc")
    with pytest.raises(ArtifactError, match="workspace"):
        find(workspace, "passwd")


def test_deep_trees_and_many_stars_take_no_time(workspace: Path) -> None:
    folder = os.open(workspace, os.O_RDONLY)
    for _ in range(100):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    began = time.monotonic()
    assert find(workspace, "/".join(["**", "*"] * 15 + ["x"]), "**/" * 100 + "nothing")[0] == []
    assert time.monotonic() - began < 10


def only(workspace: Path, pattern: str) -> FoundArtifact:
    (found,) = find_artifacts(workspace, [pattern], max_bytes=1000, note=print)
    return found


def test_opening(workspace: Path) -> None:
    (workspace / "in").symlink_to("dist/a.whl")
    with open_artifact(only(workspace, "in")) as file:
        assert file.read() == b"dist/a.whl"


def test_a_file_exchanged_for_a_link(workspace: Path) -> None:
    found = only(workspace, "r.xml")
    (workspace / "r.xml").unlink()
    (workspace / "r.xml").symlink_to("../secret")
    with pytest.raises(ArtifactError, match=r"r\.xml"):
        open_artifact(found)


def test_a_folder_exchanged_for_a_link(workspace: Path, tmp_path: Path) -> None:
    found = only(workspace, "dist/a.whl")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "a.whl").write_text("secret")
    (workspace / "dist").rename(workspace / "old")
    (workspace / "dist").symlink_to("../evil")
    with pytest.raises(ArtifactError):
        open_artifact(found)


def test_a_file_exchanged_for_a_fifo(workspace: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    found = only(workspace, "r.xml")
    (workspace / "r.xml").unlink()
    os.mkfifo(workspace / "r.xml")
    with pytest.raises(ArtifactError, match="regular"):
        open_artifact(found)
    assert len(os.listdir("/proc/self/fd")) == before
